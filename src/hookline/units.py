"""Durations, rates, times and listen addresses as text.

A moment is a time with a zone, to the second, as webhook files contain it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

DURATION_PATTERN = r"^(0|[1-9][0-9]*)(ms|s|m|h|d)$"
RATE_PATTERN = r"^[1-9][0-9]*/(s|m|h)$"
MOMENT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$"

MAX_PORT = 65535

_DAY_MILLISECONDS = 86_400_000
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": _DAY_MILLISECONDS}
_MAX_DURATION_DIGITS = 18
_MAX_UNIX_SECONDS = 253_402_300_799  # the end of the year 9999
_PER_SECONDS = {"s": 1, "m": 60, "h": 3_600}


def parse_duration(text: str) -> timedelta:
    """Parses ``100ms``, ``10s``, ``5m``, ``24h``, ``3d``. Raises ValueError, and OverflowError beyond timedelta.max.

    It is the one notation of files, options and the environment.
    """
    found = re.fullmatch(DURATION_PATTERN, text)
    if found is None:
        raise ValueError(f"not a duration: {text!r} (write 100ms, 10s, 5m, 24h or 3d)")
    if len(found[1]) > _MAX_DURATION_DIGITS:  # int() would refuse thousands of digits with another error
        raise OverflowError(f"duration too long: {len(found[1])} digits")
    return timedelta(milliseconds=int(found[1]) * _MILLISECONDS[found[2]])


def format_duration(duration: timedelta) -> str:
    """Returns the shortest exact spelling, so that equal durations have equal text: 60 seconds are ``1m``.

    Hours are the largest unit, because canonical documents that are already stored have no days.
    """
    milliseconds = duration // timedelta(milliseconds=1)
    for unit in ("h", "m", "s"):
        if milliseconds and milliseconds % _MILLISECONDS[unit] == 0:
            return f"{milliseconds // _MILLISECONDS[unit]}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def option_duration(seconds: float) -> str:
    """Formats seconds as an option would be written, for messages: ``30d``, ``90m``, ``1500ms``."""
    duration = timedelta(seconds=seconds)
    days, rest = divmod(duration, timedelta(days=1))
    return f"{days}d" if days and not rest else format_duration(duration)


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests in every `per_seconds` seconds."""

    count: int
    per_seconds: int

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _PER_SECONDS.items() if seconds == self.per_seconds)
        return f"{self.count}/{unit}"


def parse_rate(text: str) -> Rate:
    """Parses ``200/s``, ``1000/m``, ``5000/h``. Raises ValueError for other text."""
    if re.fullmatch(RATE_PATTERN, text) is None:
        raise ValueError(f"not a rate: {text!r} (write 200/s or 1000/m)")
    count, unit = text.split("/")
    return Rate(int(count), _PER_SECONDS[unit])


def parse_listen(text: str) -> tuple[str, int]:
    """Parses ``HOST:PORT`` or ``[IPv6]:PORT``; port 0 means any free port. Raises ValueError for other text."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        bare.encode("idna")
    except UnicodeError:  # a label of the name is empty or too long
        bare = ""
    if not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"not HOST:PORT: {text!r} (write an address such as 127.0.0.1:9469 or [::1]:9469)")
    if int(port) > MAX_PORT:
        raise ValueError(f"port out of range: {port} (write 0 to {MAX_PORT}, as in 127.0.0.1:9469)")
    return bare, int(port)


def parse_moment(text: str) -> datetime:
    """Parses ``2026-11-01T00:00:00Z`` or ``…+01:00`` (RFC 3339) and returns it in UTC. Raises ValueError."""
    if re.fullmatch(MOMENT_PATTERN, text) is None:
        raise ValueError(f"not a time: {text!r} (write 2026-11-01T00:00:00Z)")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"time out of range: {text!r}") from error


def utc_text(at: datetime | float, timespec: Literal["seconds", "milliseconds", "microseconds"] = "seconds") -> str:
    """Formats a time with a zone, or Unix seconds, as ISO 8601 in UTC: ``2026-05-18T17:01:25Z``."""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def utc_text_of_unix(seconds: str | float | None) -> str | None:
    """Formats Unix seconds, also as text, as ISO 8601 in UTC with milliseconds. Returns None if out of range.

    Other text is returned unchanged, because some providers write ISO 8601 in the same field.
    """
    try:
        number = float(seconds or 0)
    except ValueError:
        return str(seconds)
    except OverflowError:
        return None
    if not 0 < number <= _MAX_UNIX_SECONDS:  # also for NaN
        return None
    days, rest = divmod(int(number * 1000), _DAY_MILLISECONDS)
    minutes, millis = divmod(rest, 60_000)
    # The date is cached: formatting it takes longer than the rest, and the events of a log cover few days.
    return f"{_date_of(days)}T{minutes // 60:02}:{minutes % 60:02}:{millis // 1000:02}.{millis % 1000:03}Z"


@lru_cache(maxsize=64)
def _date_of(days: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + days).isoformat()


def utc_text_of_iso(text: str) -> str | None:
    """Converts ISO 8601 to UTC with milliseconds; a time without a zone is UTC. Returns None for other text."""
    try:
        moment = datetime.fromisoformat(text)
        return utc_text(moment.replace(tzinfo=moment.tzinfo or UTC), "milliseconds")
    except (ValueError, OverflowError):
        return None
