"""The offset from which a partition is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.sources.kafka.starting_point import StartingPoint, starting_point

OFFSETS = st.none() | st.integers(0, 100)


@pytest.mark.parametrize(
    ("stored", "committed", "expected"),
    [
        (None, None, StartingPoint(20)),
        (None, 50, StartingPoint(50)),
        (40, None, StartingPoint(40)),
        (40, 30, StartingPoint(40)),
        (40, 50, StartingPoint(40, upstream_ahead=10)),
        (90, 90, StartingPoint(90)),
        (5, None, StartingPoint(20, lost=15)),
        (None, 5, StartingPoint(20, lost=15)),
        (5, 25, StartingPoint(20, lost=15, upstream_ahead=20)),
        (95, 40, StartingPoint(20, beyond=5)),
        (None, 95, StartingPoint(20, beyond=5)),
    ],
)
def test_the_position_in_the_spool_decides(
    stored: int | None, committed: int | None, expected: StartingPoint
) -> None:
    """In a log from 20 to 90."""
    assert expected == starting_point(stored=stored, committed=committed, low=20, high=90)


@given(stored=OFFSETS, committed=OFFSETS, low=st.integers(0, 100), length=st.integers(0, 100))
def test_no_message_is_left_out_silently(stored: int | None, committed: int | None, low: int, length: int) -> None:
    """Reading never starts behind the position, and within the log."""
    start = starting_point(stored=stored, committed=committed, low=low, high=low + length)
    assert low <= start.offset <= low + length
    known = stored if stored is not None else committed
    if known is None:
        assert start.offset == low
    else:
        assert start.offset <= known or start.lost == start.offset - known
