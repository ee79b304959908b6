"""What becomes dead letters in bulk: the deliveries of a webhook that is gone, and those that are too old."""

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
    """Chunk by chunk, between other work, and only for as long as the reason holds: a webhook that is served again,
    or whose endpoint is tried again, keeps what is left."""

    def __init__(
        self,
        lanes: Mapping[Address, Lane],
        thread: SpoolThread,
        *,
        clock: RelayClock,
        log: Log,
        counters: Counters,
    ) -> None:
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._counters = counters
        self._requested: dict[Address, tuple[str, Lane | None]] = {}

    def dead_letter_pending(self, address: Address, reason: str, lane: Lane | None = None) -> None:
        """The pending deliveries of a webhook are to become dead letters, while it is served by this lane: a stopped
        one, or none at all."""
        if self._lanes.get(address) is lane:
            self._requested[address] = reason, lane

    async def write_dead_letters(self) -> list[Lane]:
        """One chunk of each webhook. Not what is in flight, which gets its own outcome. The lanes that lost
        something of what they may have in hand. There is more to do while `pending`."""
        doomed, self._requested = self._requested, {}
        touched = []
        for address, (reason, lane) in doomed.items():
            if self._lanes.get(address) is not lane or (
                lane is not None and lane.breaker.phase is not BreakerPhase.GONE
            ):
                continue
            buried = await self._thread.retry_while_stalled(
                "recording outcomes",
                self._spool.dead_letter,
                address,
                reason=reason,
                now=self._clock.now(),
                without=lane.in_flight() if lane is not None else set(),
                limit=DEAD_LETTER_CHUNK,
            )
            if lane is not None and buried:
                touched.append(lane)
            self._note(address, reason, buried)
            if buried == DEAD_LETTER_CHUNK:  # the rest of a long backlog, after what else there is to do
                self.dead_letter_pending(address, reason, lane)
        return touched

    @property
    def pending(self) -> bool:
        return bool(self._requested)

    async def expire(self) -> list[Lane]:
        """One chunk of what is too old behind closed gates, where nothing else looks at it. The lanes concerned."""
        touched = []
        for lane in [
            one for one in self._lanes.values() if one.breaker.phase is not BreakerPhase.CLOSED and not one.held
        ]:
            expired = await self._thread.retry_while_stalled(
                "recording outcomes",
                self._spool.expire,
                lane.address,
                before=self._clock.cautious_now() - lane.max_age,
                now=self._clock.now(),
                without=lane.in_flight(),
                limit=DEAD_LETTER_CHUNK,
            )
            if expired:
                touched.append(lane)
            self._note(lane.address, "expired", expired)
        return touched

    def _note(self, address: Address, reason: str, deliveries: int) -> None:
        if deliveries:
            self._counters.died(reason, deliveries)
            self._log.info("buried", webhook=str(address), deliveries=deliveries, reason=reason)
