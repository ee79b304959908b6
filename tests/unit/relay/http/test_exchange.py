from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import HooklineError
from hookline.relay.http.exchange import as_fault, one_line


@given(st.text())
def test_one_line(text: str) -> None:
    """Whatever an endpoint sends becomes one line without control characters, of at most 200 characters."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not [character for character in line if character < " " or "\x7f" <= character < "\xa0"]
    assert len(line) <= 200


def test_fault() -> None:
    """A fault tells what was found and the next step; one without a hint ends after the finding."""
    assert as_fault(HooklineError("found\nthis", hint="do that")).detail == "found this; do that"
    assert as_fault(HooklineError("found this")).detail == "found this"
