"""Freeze windows: a period between two times, or times of the week, in a time zone.

A window is compared with the wall clock of its zone. A weekly window therefore begins at the same hour in summer and
in winter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

ZoneOf = Callable[[str], tzinfo]
"""Returns the time zone of a name such as ``Europe/Berlin``. Raises KeyError or ValueError for an unknown one."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DEFAULT_ZONE = "UTC"
_MOMENT = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}(?P<time>T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?", re.ASCII)
_WEEKLY = re.compile(rf"(?P<day>{'|'.join(DAYS)}) (?P<hour>[0-9]{{2}}):(?P<minute>[0-9]{{2}})", re.ASCII)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class WeeklyTimes:
    """From one minute of the week to another, both from Monday 00:00. `end` may be before `begin`: over a Sunday."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_time_of_week(self.begin)} to {_time_of_week(self.end)}"

    def includes(self, minute: int) -> bool:
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeWindow:
    """`begin` and `end` are wall-clock times without a zone; `end` does not belong to the window."""

    zone: str = DEFAULT_ZONE
    begin: datetime | None = None
    end: datetime | None = None
    weekly: tuple[WeeklyTimes, ...] = ()

    def __str__(self) -> str:
        period = [] if self.begin is None else [f"from {self.begin:%Y-%m-%d %H:%M}"]
        period += [] if self.end is None else [f"to {self.end:%Y-%m-%d %H:%M}"]
        weekly = ["every week", " and ".join(map(str, self.weekly))] if self.weekly else []
        return " ".join([*weekly, *period, self.zone])

    def includes(self, at: datetime, zone_of: ZoneOf) -> bool:
        """Whether the window includes a time, which has a time zone. Raises like `zone_of`."""
        zone = zone_of(self.zone)
        if self.begin is not None and at < self.begin.replace(tzinfo=zone):
            return False
        if self.end is not None and at >= self.end.replace(tzinfo=zone, fold=1):  # the later one of a repeated hour
            return False
        if not self.weekly:
            return True
        local = at.astimezone(zone)
        minute = local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute
        return any(times.includes(minute) for times in self.weekly)


def parse_window(document: Mapping[str, Any]) -> FreezeWindow:
    """The window of a freeze. Raises ValueError for times that cannot be read, and for a window without an end."""
    begin, end = document.get("from"), document.get("to")
    window = FreezeWindow(
        zone=document.get("timeZone", DEFAULT_ZONE),
        begin=None if begin is None else parse_moment_of_zone(begin, whole_day=False),
        end=None if end is None else parse_moment_of_zone(end, whole_day=True),
        weekly=tuple(_weekly(one) for one in document.get("weekly", ())),
    )
    if not window.weekly and (window.begin is None or window.end is None):
        raise ValueError("needs from and to, or weekly")
    if window.begin is not None and window.end is not None and window.begin >= window.end:
        raise ValueError(f"ends before it begins: from {begin} to {end}")
    return window


def parse_moment_of_zone(text: str, *, whole_day: bool) -> datetime:
    """``2026-11-27`` or ``2026-11-27T18:00``. With `whole_day`, a date is the end of that day. Raises ValueError."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is neither a date nor a time: write 2026-11-27 or 2026-11-27T18:00")
    if found["time"]:
        return datetime.fromisoformat(text)
    day = date.fromisoformat(text) + timedelta(days=1 if whole_day else 0)
    return datetime.combine(day, time())


def _weekly(document: Mapping[str, Any]) -> WeeklyTimes:
    begin, end = parse_minute_of_week(document["from"]), parse_minute_of_week(document["to"])
    if begin == end:
        raise ValueError(f"begins and ends at the same time: {document['from']}")
    return WeeklyTimes(begin, end)


def _time_of_week(minute: int) -> str:
    day, rest = divmod(minute % (len(DAYS) * _DAY_MINUTES), _DAY_MINUTES)
    return f"{DAYS[day]} {rest // 60:02}:{rest % 60:02}"


def parse_minute_of_week(text: str) -> int:
    """``Fri 16:00`` in minutes from Monday 00:00; ``Sun 24:00`` ends the week. Raises ValueError."""
    found = _WEEKLY.fullmatch(text)
    if found is not None:
        minutes = int(found["hour"]) * 60 + int(found["minute"])
        if int(found["minute"]) < 60 and minutes <= _DAY_MINUTES:
            return DAYS.index(found["day"]) * _DAY_MINUTES + minutes
    raise ValueError(f"{text!r} is not a time of the week: write a day and a time, such as Fri 16:00")
