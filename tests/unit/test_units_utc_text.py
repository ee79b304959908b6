"""Times as text: in events, and in hookline's output."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.units import utc_text, utc_text_of_iso, utc_text_of_unix


@given(st.integers(1, 253_402_300_799_000))
def test_unix_time_is_that_of_the_calendar(millis: int) -> None:
    """Whatever the day, the time is the one that the standard library tells, to the millisecond or its neighbour."""
    told = utc_text_of_unix(millis / 1000)
    assert told is not None
    assert abs(datetime.fromisoformat(told).timestamp() * 1000 - millis) < 1.5
    assert told.endswith("Z")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1454442600, "2016-02-02T19:50:00.000Z"),
        ("1454442600", "2016-02-02T19:50:00.000Z"),
        (1534108637.153125, "2018-08-12T21:17:17.153Z"),
        ("2018-10-11T23:24:45.000+00:00", "2018-10-11T23:24:45.000+00:00"),
        ("soon", "soon"),
        ("", None),
        (None, None),
        (0, None),
        (-1, None),
        (float("nan"), None),
        (1e300, None),
        (10**400, None),
        ("1e999", None),
    ],
)
def test_unix_seconds_in_many_spellings(seconds: str | float | None, expected: str | None) -> None:
    """Numbers, numbers as text, and ISO 8601 in their field; other values are not times."""
    assert expected == utc_text_of_unix(seconds)


@given(st.datetimes(timezones=st.just(UTC)))
def test_milliseconds_in_utc(moment: datetime) -> None:
    """A time comes out as the same time, cut to milliseconds."""
    told = utc_text_of_iso(moment.isoformat())
    assert told is not None
    assert moment.replace(microsecond=moment.microsecond // 1000 * 1000) == datetime.fromisoformat(told)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_text_that_is_no_time(text: str) -> None:
    """Neither a word, nor an impossible date, nor one that has no place in UTC."""
    assert utc_text_of_iso(text) is None


def test_utc_text() -> None:
    """Unix seconds and times of any zone give the same text, to the precision that is asked for."""
    there = datetime(2026, 5, 18, 19, 1, 25, 123456, tzinfo=timezone(timedelta(hours=2)))
    expected = {
        "seconds": "2026-05-18T17:01:25Z",
        "milliseconds": "2026-05-18T17:01:25.123Z",
        "microseconds": "2026-05-18T17:01:25.123456Z",
    }
    for at in (there, there.timestamp()):
        assert expected == {
            "seconds": utc_text(at),
            "milliseconds": utc_text(at, "milliseconds"),
            "microseconds": utc_text(at, "microseconds"),
        }
