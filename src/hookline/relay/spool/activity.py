"""The activity of webhooks in each minute of the last day, for plots and forecasts.

The spool keeps a ring: RING_MINUTES minutes, each with at most MAX_ACTIVE_WEBHOOKS webhooks, and the sum of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hookline.model import Address

RING_MINUTES: Final = 24 * 60
MAX_ACTIVE_WEBHOOKS: Final = 1000  # of one minute
# Processes of a shared spool write with their own clocks. A row further ahead is of a clock that was set back since.
MAX_MINUTES_AHEAD: Final = 5


class MinuteActivity(msgspec.Struct, frozen=True):
    """The activity of one webhook in one minute.

    Attributes:
        minute: The Unix time of its begin, divided by 60.
        address: The webhook. None: the sum of all webhooks beyond the most active ones.
        accepted: The number of attempts that the endpoint accepted.
        failed: The number of all other attempts.
        median_seconds: The median of the duration of an attempt, to the end of the response. None: there was none.
        p99_seconds: The duration that 99 % of the attempts did not exceed.
        pending: The number of pending deliveries when the minute was recorded.
        busy_seconds: The sum of the durations of all attempts.
    """

    minute: int
    address: Address | None
    accepted: int
    failed: int
    median_seconds: float | None
    p99_seconds: float | None
    pending: int
    busy_seconds: float = 0.0

    @property
    def attempts(self) -> int:
        return self.accepted + self.failed


def minute_of(now: float) -> int:
    """The number of the minute of a Unix time."""
    return int(now // 60)


def oldest_minute(minute: int) -> int:
    """The first minute that the ring still has when `minute` is recorded."""
    return minute - RING_MINUTES + 1


def combined(known: Iterable[MinuteActivity], new: Iterable[MinuteActivity]) -> list[MinuteActivity]:
    """The rows of a minute after more of it was recorded, with at most MAX_ACTIVE_WEBHOOKS webhooks.

    A minute is recorded in parts when a relay ends in it and another one starts, or when another process has taken
    the webhook over. Webhooks of `known` that have a row keep it; the most active of the new ones follow.
    """
    rows = {one.address: one for one in known}
    room = MAX_ACTIVE_WEBHOOKS - sum(address is not None for address in rows)
    for one in sorted(new, key=lambda one: (-one.attempts, -one.pending)):
        if one.address in rows:
            rows[one.address] = _sum(rows[one.address], one)
        elif one.address is not None and room > 0:
            rows[one.address] = one
            room -= 1
        else:
            rest = msgspec.structs.replace(one, address=None)
            rows[None] = _sum(rows[None], rest) if None in rows else rest
    return list(rows.values())


def _sum(first: MinuteActivity, second: MinuteActivity) -> MinuteActivity:
    """One row for both. The median of both is not known: it is between theirs, by the number of attempts."""
    medians = [(one.median_seconds, one.attempts) for one in (first, second) if one.median_seconds is not None]
    slowest = [one.p99_seconds for one in (first, second) if one.p99_seconds is not None]
    return MinuteActivity(
        minute=second.minute,
        address=second.address,
        accepted=first.accepted + second.accepted,
        failed=first.failed + second.failed,
        median_seconds=_weighted(medians),
        p99_seconds=max(slowest, default=None),
        pending=second.pending if second.address is not None else first.pending + second.pending,
        busy_seconds=first.busy_seconds + second.busy_seconds,
    )


def _weighted(values: Sequence[tuple[float, int]]) -> float | None:
    number = sum(attempts for _, attempts in values)
    return sum(value * attempts for value, attempts in values) / number if number else None
