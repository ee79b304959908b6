"""Under what a skipped event is counted."""

from __future__ import annotations

import pytest

from hookline.relay.delivery_record import Skipped
from hookline.relay.routing import MAX_SKIP_NAME_CHARACTERS, MAX_SKIP_NAMES, SkipNames


def key(name: str | None, names: SkipNames | None = None) -> str:
    return (names or SkipNames()).key(Skipped("status_not_relayed", name))


def test_status_that_is_not_relayed_is_counted_by_name() -> None:
    """The reason stays the first part, so that an alert on it needs no list of names."""
    assert key("Rendering Failure") == "status_not_relayed:Rendering Failure"
    assert key(None) == "status_not_relayed"


def test_number_of_names_is_bounded() -> None:
    """The first names get a counter of their own, all that come later share one; the first keep theirs."""
    names = SkipNames()
    for number in range(MAX_SKIP_NAMES):
        assert key(f"novelty-{number}", names) == f"status_not_relayed:novelty-{number}"
    assert key("one more", names) == "status_not_relayed:other"
    assert key("novelty-0", names) == "status_not_relayed:novelty-0"


def test_names_of_earlier_runs_take_their_places() -> None:
    """What a spool has counted already is within the bound, so that runs do not add up to more."""
    names = SkipNames(
        [f"skipped:status_not_relayed:novelty-{number}" for number in range(MAX_SKIP_NAMES)] + ["skipped:journey"]
    )
    assert key("novelty-7", names) == "status_not_relayed:novelty-7"
    assert key("one more", names) == "status_not_relayed:other"


@pytest.mark.parametrize("name", ["", "x" * (MAX_SKIP_NAME_CHARACTERS + 1), "a\nb", "a:b", 'a"b', "\x1b[31m", "état"])
def test_what_is_no_plain_name_becomes_no_counter(name: str) -> None:
    """A counter's name is short and plain: it goes into summaries, metrics and terminals."""
    assert key(name) == "status_not_relayed:other"
