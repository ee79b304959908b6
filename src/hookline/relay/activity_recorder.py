"""Records the activity of each webhook once a minute, for the ring of minutes in the spool."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Final

from hookline.errors import HooklineError
from hookline.model import Address
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.response_policy import OUTCOMES, Delivered
from hookline.relay.spool.activity import MinuteActivity, minute_of
from hookline.relay.spool.admin import Backlog, SpoolStatistics
from hookline.relay.spool.spool_thread import SpoolThread

MINUTE_SECONDS: Final = 60.0
_ACCEPTED: Final = OUTCOMES[Delivered]


class ActivityRecorder:
    """Writes one group of rows a minute, and nothing while nothing happens.

    A webhook has a row if it had attempts in the minute, or if its backlog is another one than before. Pending
    deliveries are counted on a connection of their own, in a thread of their own.
    """

    def __init__(
        self,
        thread: SpoolThread,
        statistics: SpoolStatistics,
        *,
        counters: Counters,
        clock: RelayClock,
        own: Collection[Address],
    ) -> None:
        """Create it for a relay that has not started.

        Args:
            thread: Runs calls on the spool.
            statistics: Counts pending deliveries.
            counters: The counts of attempts.
            clock: The relay's clock.
            own: The webhooks to which this process delivers now. The owner changes the collection.
        """
        self._thread = thread
        self._statistics = statistics
        self._counters = counters
        self._clock = clock
        self._own = own
        self._recorded: dict[Address, tuple[int, int]] = {}
        self._pending: dict[Address, int] = {}
        self._tally: Mapping[str, int] | None = None

    async def run(self) -> None:
        """Record each minute at its end, until cancelled. Raises SpoolUnusable if the spool is damaged."""
        while True:
            now = self._clock.now()
            await asyncio.sleep(MINUTE_SECONDS - now % MINUTE_SECONDS)
            tally = await self._thread.run(self._thread.spool.tally)
            if rows := await self._rows(minute_of(now), tally):
                await self._thread.retry_while_stalled("recording activity", self._thread.spool.record_activity, rows)

    async def record_last(self) -> None:
        """Record the last minute, at the end of the run. If the spool cannot be used, the minute is lost."""
        with suppress(HooklineError):
            tally = await self._thread.run_once(self._thread.spool.tally)
            if rows := await self._rows(minute_of(self._clock.now()), tally):
                await self._thread.run_once(self._thread.spool.record_activity, rows)

    async def _rows(self, minute: int, tally: Mapping[str, int]) -> list[MinuteActivity]:
        """The activity since the last call, in the order of the addresses."""
        if tally == self._tally:
            return []
        try:
            backlogs = await asyncio.to_thread(self._statistics.backlogs) or {}
        except HooklineError:  # the next minute has this activity, too
            return []
        self._tally = tally
        addresses = sorted({*self._own, *self._counters.by_webhook})
        rows = [self._row(minute, one, backlogs.get(one, Backlog()).pending) for one in addresses]
        return [row for row in rows if row is not None]

    def _row(self, minute: int, address: Address, pending: int) -> MinuteActivity | None:
        counters = self._counters.of(address)
        accepted = counters.attempts[_ACCEPTED]
        failed = counters.attempts.total() - accepted
        before = self._recorded.get(address, (0, 0))
        if (accepted, failed) == before and pending == self._pending.get(address, 0):
            return None
        self._recorded[address], self._pending[address] = (accepted, failed), pending
        durations = counters.take_durations()
        return MinuteActivity(
            minute=minute, address=address, accepted=accepted - before[0], failed=failed - before[1],
            median_seconds=durations.median, p99_seconds=durations.p99, pending=pending, busy_seconds=durations.sum,
        )  # fmt: skip
