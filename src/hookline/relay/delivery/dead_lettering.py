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

DEAD_LETTER_CHUNK: Final = 1000


class DeadLettering:
    """Works in chunks, between other work, and only while the reason holds.

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

    def dead_letter_pending(self, address: Address, reason: str, lane: Lane | None = None) -> None:
        """Request dead letters for the pending deliveries of a webhook, for as long as `lane` is its lane.

        With `lane` None the webhook has no lane. Otherwise the endpoint of the lane is gone.
        """
        if self._lanes.get(address) is lane:
            self._requested[address] = reason, lane

    async def write_dead_letters(self) -> list[Lane]:
        """Dead-letter one chunk for each requested webhook, except its deliveries in flight, which get their own
        outcome. Returns the lanes that may hold deliveries which are no longer pending."""
        requested, self._requested = self._requested, {}
        touched = []
        for address, (reason, lane) in requested.items():
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
                limit=DEAD_LETTER_CHUNK,
            )
            if lane is not None and deliveries:
                touched.append(lane)
            self._report(address, reason, deliveries)
            if deliveries == DEAD_LETTER_CHUNK:  # the rest of a long backlog follows after other work
                self.dead_letter_pending(address, reason, lane)
        return touched

    @property
    def pending(self) -> bool:
        """Whether requests remain."""
        return bool(self._requested)

    async def expire(self) -> list[Lane]:
        """Dead-letter one chunk of deliveries that are too old, for each lane whose breaker is not closed.

        A lane with a closed breaker checks the age itself, before each attempt. Returns the lanes that may hold
        deliveries which are no longer pending.
        """
        touched = []
        for lane in list(self._lanes.values()):
            if lane.breaker.phase is BreakerPhase.CLOSED or lane.suspended:
                continue
            expired = await self._thread.retry_while_stalled(
                "recording outcomes",
                self._spool.expire,
                lane.address,
                before=self._clock.cautious_now() - lane.max_age_seconds,
                now=self._clock.now(),
                without=lane.queue.in_flight(),
                limit=DEAD_LETTER_CHUNK,
            )
            if expired:
                touched.append(lane)
            self._report(lane.address, "expired", expired)
        return touched

    def _report(self, address: Address, reason: str, deliveries: int) -> None:
        if deliveries:
            self._counters.add_dead(reason, deliveries)
            self._log.info("dead-lettered", webhook=str(address), deliveries=deliveries, reason=reason)
