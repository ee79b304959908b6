"""Points in time as events write them, brought into ISO 8601."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

_DAY = 86_400
# Years with four digits. Nothing beyond them is a time of an event.
_LATEST = 253_402_300_799


def unix_time(seconds: str | float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, of Unix seconds, also as text. Other text stays as it is: some providers
    write ISO 8601 in the same place. None for what is no time."""
    try:
        number = float(seconds or 0)
    except ValueError:
        return str(seconds)
    except OverflowError:
        return None
    if not 0 < number <= _LATEST:  # also for what is not a number
        return None
    days, rest = divmod(int(number * 1000), _DAY * 1000)
    minutes, millis = divmod(rest, 60_000)
    # Events of a log are of few days, and writing out a date takes longer than all the rest.
    return f"{_written(days)}T{minutes // 60:02}:{minutes % 60:02}:{millis // 1000:02}.{millis % 1000:03}Z"


@lru_cache(maxsize=64)
def _written(days: int) -> str:
    return date.fromordinal(date(1970, 1, 1).toordinal() + days).isoformat()


def utc_milliseconds(text: str) -> str | None:
    """ISO 8601 in UTC with milliseconds, of any other ISO 8601; a time without a zone is taken as UTC. None for
    text that is no time."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
