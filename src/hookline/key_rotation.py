"""Key rotation: the keys that are active at a time, the next change, and gaps without an active key.

A key is active from `activate` (None: since ever) until `retire` (None: for ever); both have a time zone. Receivers
know every key that is not retired. Time is an argument, in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Protocol, TypeVar


class TimedKey(Protocol):
    @property
    def activate(self) -> datetime | None: ...
    @property
    def retire(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    activate: datetime | None = None
    retire: datetime | None = None


_Key = TypeVar("_Key", bound=TimedKey)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def active_keys(keys: Iterable[_Key], now: float) -> list[_Key]:
    """Returns the keys that are active at `now`, in their order. The first one signs tokens."""
    return [key for key in unretired_keys(keys, now) if key.activate is None or key.activate.timestamp() <= now]


def unretired_keys(keys: Iterable[_Key], now: float) -> list[_Key]:
    """Returns the keys that are or will be active, in their order. Receivers must know these keys."""
    return [key for key in keys if key.retire is None or now < key.retire.timestamp()]


def next_change(keys: Iterable[TimedKey], now: float) -> float:
    """Returns the Unix time in seconds at which the result of `active_keys` next changes, or infinity if never."""
    moments = (moment.timestamp() for key in keys for moment in (key.activate, key.retire) if moment is not None)
    return min((moment for moment in moments if moment > now), default=inf)


def find_gap(keys: Sequence[TimedKey]) -> tuple[datetime, datetime | None] | None:
    """Returns the first period without an active key after the first key, as begin and end (None: for ever)."""
    covered: datetime | None = None
    for key in sorted(keys, key=lambda key: key.activate or _FIRST):
        if covered is not None and covered < (key.activate or _FIRST):
            return covered, key.activate
        ends = key.retire or _LAST
        covered = ends if covered is None else max(covered, ends)
    return None if covered is None or covered == _LAST else (covered, None)


def end_of_keys(keys: Sequence[TimedKey], now: float) -> float:
    """Returns the Unix time in seconds from which no key is active: `now` if none is, infinity if there is no end."""
    if any(key.activate is None and key.retire is None for key in keys):
        return inf  # most webhooks: a relay calculates the end for each of them every second
    while active_keys(keys, now):
        now = next_change(keys, now)
        if now == inf:
            break
    return now
