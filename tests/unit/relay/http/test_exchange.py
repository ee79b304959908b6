from hypothesis import given
from hypothesis import strategies as st

from hookline.errors import HooklineError
from hookline.relay.http.exchange import as_fault, one_line


@given(st.text())
def test_one_line(text: str) -> None:
    """Any text of an endpoint becomes one line without control characters, of at most 200 characters."""
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not [character for character in line if character < " " or "\x7f" <= character < "\xa0"]
    assert len(line) <= 200


def test_fault() -> None:
    """A local fault has the message and the hint of its error, or only the message if there is no hint."""
    assert as_fault(HooklineError("found\nthis", hint="do that")).detail == "found this; do that"
    assert as_fault(HooklineError("found this")).detail == "found this"
