"""Collects the settlements of all lanes, and records them in the spool in groups."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hookline.model import Address
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.rounds.prefetch import Prefetcher
from hookline.relay.delivery.rounds.round_timer import GATHER_SECONDS, RoundTimer
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import QueuedDelivery, Settlement, State

MAX_SETTLEMENTS_PER_WRITE: Final = 500
# Outcomes can wait longer for their round than other work, unless the next event of a message waits for one.
GATHER_OUTCOMES_SECONDS: Final = 0.05
# So long after an event had to wait for an earlier one of its message, others are expected to wait, too.
ORDER_SECONDS: Final = 1.0
# A name of the module costs a tenth of an enumeration's attribute before Python 3.12.
_PENDING, _DELIVERED = State.PENDING, State.DELIVERED


class SettlementRecorder:
    """Records the settlements of one dispatcher's lanes, as their listener."""

    def __init__(
        self,
        lanes: Mapping[Address, Lane],
        thread: SpoolThread,
        rounds: RoundTimer,
        *,
        clock: RelayClock,
        prefetcher: Prefetcher,
        on_not_delivered: Callable[[Lane, QueuedDelivery, Settlement], None],
        on_gone: Callable[[Lane], None],
    ) -> None:
        """Create it without settlements.

        Args:
            lanes: The current lanes.
            thread: Runs calls on the spool.
            rounds: Begins the rounds, in which `record` is called.
            clock: The relay's clock.
            prefetcher: Receives the due times of retries, and the lanes that need a refill.
            on_not_delivered: Called with each settlement that is a retry or a dead letter, when it arrives.
            on_gone: Called with a lane that has a retry although its endpoint is gone.
        """
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._rounds = rounds
        self._clock = clock
        self._prefetcher = prefetcher
        self._on_not_delivered = on_not_delivered
        self._on_gone = on_gone
        self._settlements: list[tuple[Lane, Settlement]] = []
        self._urgent_until = clock.elapsed()
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no settlement waits to be recorded."""
        return not self._settlements

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        if not self._settlements:
            is_urgent = self._clock.elapsed() < self._urgent_until
            self._rounds.request(GATHER_SECONDS if is_urgent else GATHER_OUTCOMES_SECONDS)
        self._settlements.append((lane, settlement))
        if settlement.state is not _DELIVERED:
            self._on_not_delivered(lane, item, settlement)
        if lane.full or len(self._settlements) >= MAX_SETTLEMENTS_PER_WRITE:
            self._rounds.request(0.0)

    def note_waiting_events(self) -> None:
        """An event waits for the outcome of an earlier one of its message, so outcomes are recorded sooner."""
        self._urgent_until = max(self._urgent_until, self._clock.elapsed() + ORDER_SECONDS)
        if self._settlements:
            self._rounds.request(GATHER_SECONDS)

    def expect_end(self) -> None:
        """The run waits for the last outcomes, so all are recorded sooner from now on."""
        self._urgent_until = math.inf

    def drop_abandoned(self) -> int:
        """Drop the settlements of abandoned lanes. Returns their number."""
        before = len(self._settlements)
        self._settlements = [(lane, one) for lane, one in self._settlements if not lane.abandoned]
        return before - len(self._settlements)

    async def record(self) -> None:
        """Record all settlements so far in one transaction. A cancelled caller does not cancel the write: its
        settlements would be neither in the spool nor in memory."""
        if self._writing is None or self._writing.done():
            if not self._settlements:
                return
            self._writing = asyncio.create_task(self._record_group())
        await asyncio.shield(self._writing)

    async def record_all(self) -> None:
        """Record all settlements, also those that lanes add during the first write."""
        await self.record()
        if self._settlements:
            await self.record()

    async def _record_group(self) -> None:
        group, self._settlements = self._settlements, []
        if not group:
            return
        # The same list in each repetition, by which the spool knows a call that it has carried out.
        settlements = [one for _, one in group]
        successors = await self._thread.retry_while_stalled("recording outcomes", self._settle, group, settlements)
        touched = dict.fromkeys(lane for lane, _ in group)
        for lane, settlement in group:
            lane.forget(settlement.seq)
            if settlement.state is not _PENDING:
                continue
            if lane.breaker.phase is BreakerPhase.GONE:
                self._on_gone(lane)
            else:
                self._prefetcher.wake_at(lane, settlement.due)
        if successors:
            self.note_waiting_events()
        for item in successors:
            current = self._lanes.get(item.address)
            if current is not None and current.ordered and not current.suspended:
                current.queue.offer((item,))
                touched[current] = None
        for lane in touched:
            lane.start_attempts()
            if lane.queue.needs_refill:
                self._prefetcher.note_refill(lane)

    def _settle(
        self, group: Sequence[tuple[Lane, Settlement]], settlements: Sequence[Settlement]
    ) -> list[QueuedDelivery]:
        """Runs in the spool's thread. When it is repeated, lanes may have been abandoned since."""
        if any(lane.abandoned for lane, _ in group):
            settlements = [one for lane, one in group if not lane.abandoned]
        return self._spool.settle(settlements, now=self._clock.now())
