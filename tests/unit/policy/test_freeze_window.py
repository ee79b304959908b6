"""Freeze windows: periods and weekly times on the wall clock of their zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hookline.policy.freeze_window import parse_minute_of_week, parse_window

BERLIN = {"timeZone": "Europe/Berlin"}
WEEKEND = {"weekly": [{"from": "Fri 16:00", "to": "Mon 08:00"}]}


@pytest.mark.parametrize(
    ("window", "at", "frozen"),
    [
        ({"from": "2026-11-26", "to": "2026-11-30"}, "2026-11-25T23:59:59Z", False),
        ({"from": "2026-11-26", "to": "2026-11-30"}, "2026-11-26T00:00:00Z", True),
        ({"from": "2026-11-26", "to": "2026-11-30"}, "2026-11-30T23:59:59Z", True),
        ({"from": "2026-11-26", "to": "2026-11-30"}, "2026-12-01T00:00:00Z", False),
        ({"from": "2026-11-26", "to": "2026-11-30", **BERLIN}, "2026-11-25T23:00:00Z", True),
        ({"from": "2026-11-26", "to": "2026-11-30", **BERLIN}, "2026-11-30T23:00:00Z", False),
        ({"from": "2026-11-26T18:00", "to": "2026-11-26T19:00", **BERLIN}, "2026-11-26T16:59:59Z", False),
        ({"from": "2026-11-26T18:00", "to": "2026-11-26T19:00", **BERLIN}, "2026-11-26T17:00:00Z", True),
        ({"from": "2026-11-26T18:00", "to": "2026-11-26T19:00", **BERLIN}, "2026-11-26T18:00:00Z", False),
        ({**WEEKEND, **BERLIN}, "2026-11-27T14:59:00Z", False),
        ({**WEEKEND, **BERLIN}, "2026-11-27T15:00:00Z", True),
        ({**WEEKEND, **BERLIN}, "2026-11-29T12:00:00Z", True),
        ({**WEEKEND, **BERLIN}, "2026-11-30T06:59:00Z", True),
        ({**WEEKEND, **BERLIN}, "2026-11-30T07:00:00Z", False),
        # The hour before the end of summer time comes twice, and the window includes both.
        ({"from": "2026-10-24", "to": "2026-10-25T02:30", **BERLIN}, "2026-10-25T00:30:00Z", True),
        ({"from": "2026-10-24", "to": "2026-10-25T02:30", **BERLIN}, "2026-10-25T01:29:59Z", True),
        ({"from": "2026-10-24", "to": "2026-10-25T02:30", **BERLIN}, "2026-10-25T01:30:00Z", False),
        ({"from": "2026-10-25T02:30", "to": "2026-10-26", **BERLIN}, "2026-10-25T00:30:00Z", True),
        # In summer, the same wall-clock time is an hour earlier.
        ({**WEEKEND, **BERLIN}, "2026-07-03T13:59:00Z", False),
        ({**WEEKEND, **BERLIN}, "2026-07-03T14:00:00Z", True),
        ({**WEEKEND, "from": "2026-11-01", "to": "2026-12-31"}, "2026-10-31T12:00:00Z", False),
        ({**WEEKEND, "from": "2026-11-01", "to": "2026-12-31"}, "2026-11-29T12:00:00Z", True),
        ({"weekly": [{"from": "Mon 00:00", "to": "Sun 24:00"}]}, "2026-11-29T23:59:59Z", True),
        ({"weekly": [{"from": "Tue 12:00", "to": "Tue 13:00"}]}, "2026-12-01T12:30:00Z", True),
        ({"weekly": [{"from": "Tue 12:00", "to": "Tue 13:00"}]}, "2026-12-01T13:00:00Z", False),
    ],
)
def test_a_window_includes_a_time(window: dict[str, Any], at: str, frozen: bool) -> None:
    """The end of a window is outside of it; a date as its end belongs to it as a whole."""
    moment = datetime.fromisoformat(at)
    assert frozen == parse_window(window).includes(moment, ZoneInfo)


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"from": "2026-11-26"},
        {"to": "2026-11-26"},
        {"from": "2026-11-26", "to": "2026-11-25"},
        {"from": "2026-11-26T12:00", "to": "2026-11-26T12:00"},
        {"from": "2026-11-26T12:00+01:00", "to": "2026-11-27"},
        {"from": "2026-13-26", "to": "2027-01-01"},
        {"from": "9999-12-31", "to": "9999-12-31"},
        {"weekly": [{"from": "Fri 16:00", "to": "Fri 16:00"}]},
        {"weekly": [{"from": "Fri 16:60", "to": "Mon 08:00"}]},
        {"weekly": [{"from": "Freitag 16:00", "to": "Mon 08:00"}]},
    ],
)
def test_a_window_that_cannot_be_is_refused(window: dict[str, Any]) -> None:
    """A window without an end, or with times that do not exist, is refused with an error that a caller expects."""
    with pytest.raises(ValueError, match=r"."):
        parse_window(window)


def test_a_window_describes_itself() -> None:
    """A message says when the window is, in its zone."""
    assert "every week Fri 16:00 to Mon 08:00 Europe/Berlin" == str(parse_window({**WEEKEND, **BERLIN}))
    assert "from 2026-11-26 00:00 to 2026-12-01 00:00 UTC" == str(
        parse_window({"from": "2026-11-26", "to": "2026-11-30"})
    )


def test_the_week_ends_on_sunday() -> None:
    """Minutes count from Monday."""
    assert [0, 7 * 24 * 60] == [parse_minute_of_week("Mon 00:00"), parse_minute_of_week("Sun 24:00")]
    assert datetime(2026, 11, 30, tzinfo=UTC).weekday() == 0
