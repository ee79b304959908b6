"""Syslog lines in the forms of RFC 3164 and RFC 5424, and journald's entries: time, host, program and text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

import msgspec

_PRIORITY = r"(?:<\d{1,3}>)?"
# RFC 3164 §4.1, with a time of its own form or of RFC 3339 (rsyslog's RSYSLOG_FileFormat, journalctl -o short-iso).
_CLASSIC = re.compile(
    _PRIORITY + r"(?P<time>[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-]\d\d:?\d\d)?) "
    r"(?P<host>\S+) (?P<program>[^\s\[:]+)(?:\[(?P<process>\d+)\])?: ?(?P<message>.*)",
    re.DOTALL,
)
# RFC 5424 §6: version, time, host, program, process, id of the message, structured data.
_MODERN = re.compile(
    _PRIORITY + r"1 (?P<time>\S+) (?P<host>\S+) (?P<program>\S+) (?P<process>\S+) \S+ "
    r'(?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.)*")*\])+) ?(?P<message>.*)',
    re.DOTALL,
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HOUR = 3600
_AHEAD = timedelta(days=1)  # how far a sender's clock or zone may be ahead of ours


class SyslogMessage(msgspec.Struct, frozen=True):
    """The parts of a line. `time` is the text in the line; `moment` determines its year and zone."""

    time: str
    host: str
    program: str
    message: str


# The beginning of either form, for a quick look.
_BEGINNING = re.compile(
    _PRIORITY + r"(?:(?:1 )?(?:[A-Z][a-z]{2} [ \d]?\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+)|1 -) \S+ \S"
)


def looks_like(line: str) -> bool:
    """Returns whether the line begins like a syslog line."""
    return _BEGINNING.match(line) is not None


def parse_syslog(line: str) -> SyslogMessage | None:
    """Returns the parts of a line, or None if it has neither form."""
    found = _CLASSIC.match(line) or _MODERN.match(line)
    if found is None:
        return None
    return SyslogMessage(found["time"], found["host"], found["program"], found["message"].removeprefix("\ufeff"))


def from_journal(entry: dict[str, Any]) -> SyslogMessage | None:
    """Returns the parts of an entry of ``journalctl -o json``, or None if one of them is missing."""
    host, program, message, microseconds = (
        entry.get(name) for name in ("_HOSTNAME", "SYSLOG_IDENTIFIER", "MESSAGE", "__REALTIME_TIMESTAMP")
    )
    message = _text(message)
    if not (isinstance(host, str) and isinstance(program, str) and message is not None):
        return None
    if not (isinstance(microseconds, str) and microseconds.isdecimal() and len(microseconds) <= 17):  # year 5138
        return None
    moment = datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC)
    return SyslogMessage(moment.isoformat(timespec="microseconds"), host, program, message)


def _text(message: object) -> str | None:
    """Returns the text of a field. journald writes a text that is not UTF-8 as a list of bytes."""
    if isinstance(message, list) and all(type(byte) is int and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return message if isinstance(message, str) else None


def parse_syslog_time(time: str, *, zone: tzinfo, now: float | None) -> str | None:
    """Returns a line's time in ISO 8601. A time without a zone is in `zone`.

    A time without a year gets the latest year in which it is not in the future, so a log that spans New Year gets
    both years. `now` is in Unix seconds. If `now` is None, the result for such a time is None.
    """
    return _moment(time, zone, None if now is None else int(now) // _HOUR)


@lru_cache(maxsize=1024)  # many lines have the same second
def _moment(time: str, zone: tzinfo, hour: int | None) -> str | None:
    try:
        if time[0].isdigit():
            written = datetime.fromisoformat(time.replace(",", "."))
            return (written if written.tzinfo else written.replace(tzinfo=zone)).isoformat()
        return None if hour is None else _with_year(time, zone, datetime.fromtimestamp(hour * _HOUR, UTC) + _AHEAD)
    except (ValueError, OverflowError, IndexError):
        return None


def _with_year(time: str, zone: tzinfo, latest: datetime) -> str | None:
    name, day, clock = time.split()
    month = _MONTHS.index(name) + 1
    hour, minute, second = map(int, clock.split(":"))
    # The last leap day can be eight years ago (1896, 1904). An invalid day has no year.
    for year in range(latest.year, latest.year - 9, -1):
        try:
            written = datetime(year, month, int(day), hour, minute, second, tzinfo=zone)
        except ValueError:
            continue
        if written <= latest:
            return written.isoformat()
    return None
