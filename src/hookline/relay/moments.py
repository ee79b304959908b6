"""Points in time as events write them, brought into ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime

# Years with four digits. Nothing beyond them is a time of an event.
_EARLIEST, _LATEST = 0, 253_402_300_799


def unix_time(seconds: str | float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, of Unix seconds, also as text. Other text stays as it is: some providers
    write ISO 8601 in the same place. None for what is no time."""
    try:
        number = float(seconds or 0)
    except ValueError:
        return str(seconds)
    except OverflowError:
        return None
    if not _EARLIEST < number <= _LATEST:  # also for what is not a number
        return None
    return _iso(datetime.fromtimestamp(number, UTC))


def utc_milliseconds(text: str) -> str | None:
    """ISO 8601 in UTC with milliseconds, of any other ISO 8601; a time without a zone is taken as UTC. None for
    text that is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return _iso(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
