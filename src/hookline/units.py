"""Durations, rates, moments and listening addresses as text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal

DURATION_PATTERN = r"^(0|[1-9][0-9]*)(ms|s|m|h)$"
RATE_PATTERN = r"^[1-9][0-9]*/(s|m|h)$"
MOMENT_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$"

MAX_PORT = 65535

_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DAY = 86_400
_LATEST = 253_402_300_799  # seconds: the end of the last year with four digits
_PER_SECONDS = {"s": 1, "m": 60, "h": 3_600}


def parse_duration(text: str) -> timedelta:
    """``100ms``, ``10s``, ``5m``, ``24h``. Raises ValueError for others, OverflowError beyond timedelta.max."""
    found = re.fullmatch(DURATION_PATTERN, text)
    if found is None:
        raise ValueError(f"not a duration: {text!r} (write 100ms, 10s, 5m or 24h)")
    return timedelta(milliseconds=int(found[1]) * _MILLISECONDS[found[2]])


def format_duration(duration: timedelta) -> str:
    """The shortest exact spelling: 60 seconds are ``1m``, so that equal durations are equal text."""
    milliseconds = duration // timedelta(milliseconds=1)
    for unit in ("h", "m", "s"):
        if milliseconds and milliseconds % _MILLISECONDS[unit] == 0:
            return f"{milliseconds // _MILLISECONDS[unit]}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` requests in every `per_seconds` seconds."""

    count: int
    per_seconds: int

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _PER_SECONDS.items() if seconds == self.per_seconds)
        return f"{self.count}/{unit}"


def parse_rate(text: str) -> Rate:
    """``200/s``, ``1000/m``, ``5000/h``. Raises ValueError for anything else."""
    if re.fullmatch(RATE_PATTERN, text) is None:
        raise ValueError(f"not a rate: {text!r} (write 200/s or 1000/m)")
    count, unit = text.split("/")
    return Rate(int(count), _PER_SECONDS[unit])


def parse_listen(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` or ``[IPv6]:PORT``; port 0 means any free one. Raises ValueError for anything else."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        bare.encode("idna")
    except UnicodeError:  # an empty part of a name, or one that is too long
        bare = ""
    if not bare or (":" in bare and bare == host) or not (port.isascii() and port.isdigit()):
        raise ValueError(f"not HOST:PORT: {text!r} (write an address such as 127.0.0.1:9469 or [::1]:9469)")
    if int(port) > MAX_PORT:
        raise ValueError(f"not a port: {port} (write 0 to {MAX_PORT}, such as 127.0.0.1:9469)")
    return bare, int(port)


def parse_moment(text: str) -> datetime:
    """``2026-11-01T00:00:00Z`` or ``…+01:00`` (RFC 3339, to the second), in UTC. Raises ValueError for others."""
    if re.fullmatch(MOMENT_PATTERN, text) is None:
        raise ValueError(f"not a moment: {text!r} (write 2026-11-01T00:00:00Z)")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"not a moment that a clock can show: {text!r}") from error


def format_moment(moment: datetime) -> str:
    """The one spelling of a moment in a webhook file: in UTC, to the second, with ``Z``."""
    return utc_text(moment)


def utc_text(at: datetime | float, timespec: Literal["seconds", "milliseconds", "microseconds"] = "seconds") -> str:
    """ISO 8601 in UTC with ``Z``, of a time with a zone or of Unix seconds: ``2026-05-18T17:01:25Z``."""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def unix_time(seconds: str | float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, of Unix seconds, also as text.

    Other text is returned as it is, because some providers write ISO 8601 in the same place. None for a number that
    is not a time.
    """
    try:
        number = float(seconds or 0)
    except ValueError:
        return str(seconds)
    except OverflowError:
        return None
    if not 0 < number <= _LATEST:  # also for NaN
        return None
    days, rest = divmod(int(number * 1000), _DAY * 1000)
    minutes, millis = divmod(rest, 60_000)
    # The events of a log are of few days, and formatting a date takes longer than all the rest.
    return f"{_date_of(days)}T{minutes // 60:02}:{minutes % 60:02}:{millis // 1000:02}.{millis % 1000:03}Z"


@lru_cache(maxsize=64)
def _date_of(days: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + days).isoformat()


def utc_milliseconds(text: str) -> str | None:
    """ISO 8601 in UTC with milliseconds, of any other ISO 8601; a time without a zone is taken as UTC. None for other
    text."""
    try:
        moment = datetime.fromisoformat(text)
        return utc_text(moment.replace(tzinfo=moment.tzinfo or UTC), "milliseconds")
    except (ValueError, OverflowError):
        return None
