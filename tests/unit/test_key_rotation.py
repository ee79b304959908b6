"""Which keys are used when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.key_rotation import KeyPeriod, active_keys, end_of_keys, find_gap, next_change, unretired_keys
from hookline.units import parse_moment, utc_text

START = datetime(2026, 11, 1, tzinfo=UTC)
days = st.none() | st.integers(0, 6).map(lambda number: START + timedelta(days=number))
periods = st.lists(st.builds(KeyPeriod, days, days), min_size=1, max_size=4)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@given(periods)
def test_keys_are_active_until_their_end(keys: list[KeyPeriod]) -> None:
    """At the end none is active, and at each change before it one is."""
    now = START.timestamp()
    end = end_of_keys(keys, now)
    assert end == inf or [] == active_keys(keys, end)
    while now < end:
        assert [] != active_keys(keys, now)
        now = next_change(keys, now)


def test_a_successor_moves_the_end() -> None:
    """A gap ends the keys, and a key without an end has none."""
    old, new = KeyPeriod(retire=day(2)), KeyPeriod(activate=day(1), retire=day(5))
    now = START.timestamp()
    ends = [end_of_keys(keys, now) for keys in ([old], [old, new], [new], [KeyPeriod()])]
    assert [day(2).timestamp(), day(5).timestamp(), now, inf] == ends


def test_first_active_key_signs() -> None:
    """A key is active from its activation until just before its retirement. Future keys are known before."""
    new, old = KeyPeriod(activate=day(1)), KeyPeriod(retire=day(2))
    at = [day(number).timestamp() for number in (0, 1, 1.9, 2)]
    assert [[old], [new, old], [new, old], [new]] == [active_keys([new, old], now) for now in at]
    assert [[new, old]] * 3 + [[new]] == [unretired_keys([new, old], now) for now in at]
    assert [at[1], at[3], at[3], inf] == [next_change([new, old], now) for now in at]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([KeyPeriod()], None),
        ([KeyPeriod(activate=day(1))], None),
        ([KeyPeriod(activate=day(1)), KeyPeriod(retire=day(1))], None),
        ([KeyPeriod(retire=day(1))], (day(1), None)),
        ([KeyPeriod(activate=day(2)), KeyPeriod(retire=day(1))], (day(1), day(2))),
        ([KeyPeriod(), KeyPeriod(day(1), day(2))], None),
        ([KeyPeriod(day(0), day(5)), KeyPeriod(day(1), day(2)), KeyPeriod(activate=day(4))], None),
        ([KeyPeriod(day(0), day(5)), KeyPeriod(day(1), day(2)), KeyPeriod(activate=day(6))], (day(5), day(6))),
        ([], None),
    ],
)
def test_gap(keys: list[KeyPeriod], expected: tuple[datetime, datetime | None] | None) -> None:
    """Keys that touch or overlap leave no gap; the first time without one is named, also the one without end."""
    assert expected == find_gap(keys)


@given(periods, st.integers(0, 160))
def test_without_a_gap_there_is_always_a_key(keys: list[KeyPeriod], hours: int) -> None:
    """From the first activation on, a list without a gap has an active key at every moment."""
    now = (START + timedelta(hours=hours)).timestamp()
    begins = min(key.activate or datetime.min.replace(tzinfo=UTC) for key in keys).timestamp()
    if find_gap(keys) is None and begins <= now:
        assert active_keys(keys, now)


@given(periods, st.integers(0, 160))
def test_nothing_changes_before_the_next_change(keys: list[KeyPeriod], hours: int) -> None:
    """The active keys stay the same until the returned time."""
    now = (START + timedelta(hours=hours)).timestamp()
    until = min(next_change(keys, now), now + 86400)
    assert active_keys(keys, now) == active_keys(keys, until - 0.001)


@pytest.mark.parametrize("text", ["2026-11-01T00:00:00Z", "2026-11-01T05:30:00+05:30", "2026-10-31T19:00:00-05:00"])
def test_moments(text: str) -> None:
    """A moment has the same spelling for every time zone."""
    assert START == parse_moment(text)
    assert "2026-11-01T00:00:00Z" == utc_text(parse_moment(text))


@pytest.mark.parametrize(
    "text",
    ["", "2026-11-01", "2026-11-01T00:00:00", "2026-13-01T00:00:00Z", "2026-11-01 00:00:00Z",
     "0001-01-01T00:00:00+05:00",
     "2026-11-01T00:00:00+99:00", "2026-11-01T00:00:00Z\n"],
)  # fmt: skip
def test_no_moments(text: str) -> None:
    """A time without a zone, one that is not in the calendar, and one out of range are refused."""
    with pytest.raises(ValueError, match=r"not a time|must be|range|between"):
        parse_moment(text)
