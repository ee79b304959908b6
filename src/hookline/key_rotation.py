"""When keys are used: which ones at a moment, until when that holds, and where a list of keys leaves a gap.

A key is active from `activate` (None: always was) until `retire` (None: for good); both are moments with a zone. What
is not retired yet is known to receivers. Time is an argument, in Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Protocol, TypeVar


class Timed(Protocol):
    @property
    def activate(self) -> datetime | None: ...
    @property
    def retire(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Period:
    """The times of a key without the key."""

    activate: datetime | None = None
    retire: datetime | None = None


_Key = TypeVar("_Key", bound=Timed)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def active(keys: Iterable[_Key], now: float) -> list[_Key]:
    """The keys that may be used at `now`, in their order: of those that sign tokens, the first one does."""
    return [key for key in unretired(keys, now) if key.activate is None or key.activate.timestamp() <= now]


def unretired(keys: Iterable[_Key], now: float) -> list[_Key]:
    """The keys that are used or will be, in their order: what receivers are to know."""
    return [key for key in keys if key.retire is None or now < key.retire.timestamp()]


def next_change(keys: Iterable[Timed], now: float) -> float:
    """The moment, in Unix seconds, until which `active` says the same as at `now`; infinity when it always will."""
    moments = (moment.timestamp() for key in keys for moment in (key.activate, key.retire) if moment is not None)
    return min((moment for moment in moments if moment > now), default=inf)


def gap(keys: Sequence[Timed]) -> tuple[datetime, datetime | None] | None:
    """The first time without an active key: from when, and until when (None: for good). None: there is no such time.

    The time before the first key is not looked at: a key that became active long ago is not a mistake.
    """
    covered: datetime | None = None
    for key in sorted(keys, key=lambda key: key.activate or _FIRST):
        if covered is not None and covered < (key.activate or _FIRST):
            return covered, key.activate
        ends = key.retire or _LAST
        covered = ends if covered is None else max(covered, ends)
    return None if covered is None or covered == _LAST else (covered, None)
