"""Dead-letters pending deliveries in bulk: those of a webhook that is gone or deleted, and those that are too old."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool_thread import SpoolThread

# A chunk takes less than 5 ms of processor time, so that results are written and lanes are filled in between.
DEAD_LETTER_CHUNK: Final = 500
ROWS_PER_TRANSACTION: Final = 25  # a transaction without any dead letter costs as much as some of them


class DeadLettering:
    """Works in chunks, between other work, and only while the reason holds. A chunk can be of several webhooks.

    A webhook that is applied again, or whose endpoint is tried again, keeps its remaining deliveries.
    """

    def __init__(
        self, lanes: Mapping[Address, Lane], thread: SpoolThread, *, clock: RelayClock, log: Log, counters: Counters
    ) -> None:
        """Create it without requests.

        Args:
            lanes: The current lanes.
            thread: Runs calls on the spool.
            clock: The relay's clock.
            log: Receives one line per chunk.
            counters: Count the dead letters.
        """
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._counters = counters
        self._requested: dict[Address, tuple[str, Lane | None]] = {}
        self._to_expire: dict[Lane, None] = {}

    def dead_letter_pending(self, address: Address, reason: str, lane: Lane | None = None) -> None:
        """Request dead letters for the pending deliveries of a webhook, for as long as `lane` is its lane.

        With `lane` None the webhook has no lane. Otherwise the endpoint of the lane is gone.
        """
        if self._lanes.get(address) is lane:
            self._requested[address] = reason, lane

    async def write_dead_letters(self) -> list[Lane]:
        """Dead-letter one chunk for the requested webhooks, except their deliveries in flight, which get their own
        outcome. Returns the lanes that may hold deliveries which are no longer pending."""
        touched, room = [], DEAD_LETTER_CHUNK
        while self._requested and room > 0:
            address = next(iter(self._requested))
            reason, lane = self._requested.pop(address)
            if self._lanes.get(address) is not lane or (
                lane is not None and lane.breaker.phase is not BreakerPhase.GONE
            ):
                continue
            deliveries = await self._thread.retry_while_stalled(
                "recording outcomes",
                self._spool.dead_letter,
                address,
                reason=reason,
                now=self._clock.now(),
                without=lane.queue.in_flight() if lane is not None else set(),
                limit=room,
            )
            if lane is not None and deliveries:
                touched.append(lane)
            self._report(address, reason, deliveries)
            if deliveries == room:  # the rest of a long backlog follows after other work
                self.dead_letter_pending(address, reason, lane)
            room -= max(deliveries, ROWS_PER_TRANSACTION)
        return touched

    @property
    def pending(self) -> bool:
        """Whether requests remain."""
        return bool(self._requested or self._to_expire)

    def expire_pending(self) -> None:
        """Request dead letters for the deliveries that are too old, of each lane whose breaker is not closed: a lane
        with a closed breaker checks the age itself, before each attempt."""
        self._to_expire |= dict.fromkeys(lane for lane in self._lanes.values() if _leaves_deliveries_waiting(lane))

    async def expire(self) -> list[Lane]:
        """Dead-letter one chunk of deliveries that are too old, for the requested lanes. Returns the lanes that may
        hold deliveries which are no longer pending."""
        touched, room = [], DEAD_LETTER_CHUNK
        while self._to_expire and room > 0:
            lane = next(iter(self._to_expire))
            del self._to_expire[lane]
            if self._lanes.get(lane.address) is not lane or not _leaves_deliveries_waiting(lane):
                continue
            expired = await self._thread.retry_while_stalled(
                "recording outcomes",
                self._spool.expire,
                lane.address,
                before=self._clock.cautious_now() - lane.max_age_seconds,
                now=self._clock.now(),
                without=lane.queue.in_flight(),
                limit=room,
            )
            if expired:
                touched.append(lane)
            if expired == room:
                self._to_expire[lane] = None
            room -= max(expired, ROWS_PER_TRANSACTION)
            self._report(lane.address, "expired", expired)
        return touched

    def _report(self, address: Address, reason: str, deliveries: int) -> None:
        if deliveries:
            self._counters.add_dead(reason, deliveries)
            self._log.info("dead-lettered", webhook=str(address), deliveries=deliveries, reason=reason)


def _leaves_deliveries_waiting(lane: Lane) -> bool:
    return lane.breaker.phase is not BreakerPhase.CLOSED and not lane.suspended
