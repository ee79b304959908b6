"""Between the spool and the lanes: has their windows filled, and writes what they settle in groups.

Whatever there is to do is known by name: which lanes want more, which have a retry that is due, which are to be
buried. So a round costs as much as there is to do in it, however many lanes there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord
from hookline.relay.delivery.attempt_log import AttemptLog
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dead_lettering import DeadLettering
from hookline.relay.delivery.endpoint_state import EndpointStateWriter
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.prefetch import Prefetcher
from hookline.relay.spool.spool import EndpointState, QueuedDelivery, Retention, Settlement, State
from hookline.relay.spool.spool_thread import SpoolThread

MAX_SETTLEMENTS_PER_WRITE: Final = 500
GATHER_SECONDS: Final = 0.005
HOUSEKEEPING_SECONDS: Final = 1.0
CLEANUP_SECONDS: Final = 10.0
CLEANUP_ROWS: Final = 1000
LAST_WRITE_SECONDS: Final = 10.0
DUE_AT_A_TIME: Final = 1000


class Dispatcher:
    """Serves the lanes that it is given. Implements lanes.LaneListener.

    `strayed`: there may be pending deliveries of a webhook that no lane serves.
    """

    def __init__(
        self, thread: SpoolThread, *, clock: RelayClock, log: Log, counters: Counters, keep: Retention
    ) -> None:
        self.lanes: dict[Address, Lane] = {}
        self.has_orphans = False
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._counters = counters
        self._attempt_log = AttemptLog(log)
        self._keep = keep
        self._dead_lettering = DeadLettering(self.lanes, thread, clock=clock, log=log, counters=counters)
        self._endpoint_states = EndpointStateWriter(self.lanes, thread, log)
        self._retiring: set[Lane] = set()
        self._writing: asyncio.Task[None] | None = None
        self._settlements: list[tuple[Lane, Settlement]] = []
        self._work_available = asyncio.Event()
        self._flush_now = asyncio.Event()
        self._prefetcher = Prefetcher(
            self.lanes, thread, clock=clock.now, stirred=self._work_available.set, stopped=self._dead_letter_gone
        )
        self._round = asyncio.Lock()
        self._next_housekeeping = 0.0
        self._next_cleanup = 0.0
        self._clock_step = 0.0
        self._to_make_due: set[Address] = set()

    # -- what the daemon tells

    def serve(self, lane: Lane, standing: EndpointState, next_due: float | None) -> None:
        """Take a lane in, in place of an earlier one of its webhook."""
        self.lanes[lane.address] = lane
        self._endpoint_states.serve(lane, standing)
        self._prefetcher.wake_at(lane, next_due)
        self._prefetcher.request_refill(lane)

    async def remove_lane(self, address: Address) -> bool:
        """Let a lane go once what is in flight is finished and written: a successor must not send the same again
        meanwhile. Its other deliveries stay where they are. False: there was none."""
        self._prefetcher.forget(address)
        lane = self.lanes.pop(address, None)
        if lane is None:
            return False
        self._retiring.add(lane)  # a relay that is stopped meanwhile has its own patience
        await lane.stop(lane.webhook.delivery.timeout.total_seconds())
        async with self._round:
            await self._write_all()
        self._retiring.discard(lane)
        return True

    def dead_letter_pending(self, address: Address, reason: str) -> None:
        """The pending deliveries of a webhook that is gone are to become dead letters."""
        self._dead_lettering.dead_letter_pending(address, reason)
        self._work_available.set()

    def on_enqueued(self, addresses: Iterable[Address]) -> None:
        """There are new deliveries in the spool."""
        for address in addresses:
            if (lane := self.lanes.get(address)) is not None:
                self._prefetcher.on_enqueued(lane)
            else:
                self.has_orphans = True

    def clock_stepped(self, seconds: float) -> None:
        """The wall clock was set by `seconds`, negative if back. The next round takes care of it."""
        self._clock_step += seconds
        self._work_available.set()

    # -- what the lanes tell

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        self._settlements.append((lane, settlement))
        if settlement.state is not State.DELIVERED:
            self._attempt_log.settled(lane, item, settlement, self._clock.now())
            if settlement.state is State.DEAD:
                self._counters.died(settlement.reason)
        self._work_available.set()
        if lane.full or len(self._settlements) >= MAX_SETTLEMENTS_PER_WRITE:
            self._flush_now.set()

    def attempted(self, lane: Lane, item: QueuedDelivery, tried: AttemptRecord) -> None:
        self._attempt_log.attempted(lane, item, tried)

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None:
        gate = lane.breaker
        self._attempt_log.phase_changed(lane, before, self._clock.now())
        if self.lanes.get(lane.address) is not lane:
            return  # its webhook's next configuration is another endpoint
        self._endpoint_states.changed(lane)
        if gate.phase is BreakerPhase.GONE:
            self._dead_letter_gone(lane)
        elif gate.phase is BreakerPhase.CLOSED:
            self._prefetcher.request_refill(lane)

    def _dead_letter_gone(self, lane: Lane) -> None:
        self._dead_lettering.dead_letter_pending(lane.address, lane.breaker.reason or "stopped", lane)
        self._work_available.set()

    def request_refill(self, lane: Lane) -> None:
        self._prefetcher.request_refill(lane)

    # -- the work

    async def run(self) -> None:
        """Write and fill until cancelled. Raises SpoolUnusable when the spool is damaged."""
        while True:
            await self._wait_for_work()
            async with self._round:
                await self._note_clock_step()
                await self._write()
                await self._make_retries_due()
                await self._endpoint_states.remember()
                await self._write_dead_letters()
                if self._clock.now() >= self._next_housekeeping:
                    self._next_housekeeping = self._clock.now() + HOUSEKEEPING_SECONDS
                    await self._run_housekeeping()
                await self._prefetcher.fill()

    async def _note_clock_step(self) -> None:
        """After a jump forward, waits are shorter, which is harmless. After a jump back, they would be longer by the
        whole step: the waits in memory move with the clock, and the retries in the spool are due at once."""
        seconds, self._clock_step = self._clock_step, 0.0
        if not seconds:
            return
        self._log.warning("the clock was set", seconds=round(seconds, 1))
        self._next_housekeeping = self._next_cleanup = 0.0
        if seconds < 0:
            for lane in self.lanes.values():
                lane.clock_set_back(-seconds)
                self._endpoint_states.changed(lane)
            self._to_make_due = await self._thread.run(self._spool.pending)

    async def _make_retries_due(self) -> None:
        """One chunk of the retries that wait for a time before the clock was set back. Other work goes between."""
        left = DUE_AT_A_TIME
        while self._to_make_due and left > 0:
            address = self._to_make_due.pop()
            now = self._clock.now()
            made = await self._thread.retry_while_stalled(
                "recording outcomes", self._spool.make_due, address, now=now, limit=left
            )
            if made == left:
                self._to_make_due.add(address)
                self._work_available.set()
            left -= made
            if made and (lane := self.lanes.get(address)) is not None:
                self._prefetcher.wake_at(lane, now)

    async def _wait_for_work(self) -> None:
        """Until something is there to do; then a moment longer for a larger group, unless a lane waits for it."""
        until = min(self._next_housekeeping, self._prefetcher.next_due)
        if await _happens(
            self._work_available, within=min(max(0.0, until - self._clock.now()), HOUSEKEEPING_SECONDS)
        ):
            self._work_available.clear()
            await _happens(self._flush_now, within=GATHER_SECONDS)
            self._flush_now.clear()

    async def _write(self) -> None:
        """One transaction for all that was settled since the last one. It is finished whoever is cancelled meanwhile:
        half of it would be outcomes that are neither written nor in hand."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_group())
        await asyncio.shield(self._writing)

    async def _write_all(self) -> None:
        """Also what was settled while it was written."""
        await self._write()
        if self._settlements:
            await self._write()
        await self._endpoint_states.remember()

    async def _write_group(self) -> None:
        group, self._settlements = self._settlements, []
        if not group:
            return
        freed = await self._thread.retry_while_stalled(
            "recording outcomes", self._spool.settle, [one for _, one in group], now=self._clock.now()
        )
        touched = {lane for lane, _ in group}
        for lane, one in group:
            lane.forget(one.seq)
            if one.state is State.PENDING and lane.breaker.phase is BreakerPhase.GONE:
                self._dead_letter_gone(lane)
            elif one.state is State.PENDING:
                self._prefetcher.wake_at(lane, one.due)
        for item in freed:
            lane_of = self.lanes.get(item.address)
            if lane_of is not None and lane_of.ordered and not lane_of.held:
                lane_of.offer((item,))
                touched.add(lane_of)
        for lane in touched:
            lane.start_attempts()
            if lane.needs_refill:
                self._prefetcher.note_refill(lane)

    async def _write_dead_letters(self) -> None:
        if self._dead_lettering.pending:
            await self._reload_prefetch(await self._dead_lettering.write_dead_letters())
        if self._dead_lettering.pending:
            self._work_available.set()

    async def _reload_prefetch(self, lanes: list[Lane]) -> None:
        """What lanes have in hand and is not in flight may not be pending any more."""
        for lane in lanes:
            lane.reload_prefetch()
        if lanes:
            await self._prefetcher.reload(lanes)

    # -- now and then

    async def _run_housekeeping(self) -> None:
        """Has another process put something back, paused a webhook, asked for haste? Is something too old?"""
        changed = await self._thread.run(self._spool.changed_by_others)
        if changed or self._endpoint_states.wants_a_look:
            for lane in await self._endpoint_states.apply_operator_requests():
                self._prefetcher.request_refill(lane)
        if changed:
            self.has_orphans = True
            dues = await self._thread.run(self._spool.next_dues, frozenset(self.lanes))
            for lane in self.lanes.values():
                self._prefetcher.wake_at(lane, dues.get(lane.address))
        if (now := self._clock.now()) >= self._next_cleanup:
            self._next_cleanup = now + CLEANUP_SECONDS
            expired = await self._dead_lettering.expire()
            await self._reload_prefetch(expired)
            more = await self._thread.retry_while_stalled(
                "tidying", self._spool.clean_up, now=self._clock.cautious_now(), keep=self._keep, limit=CLEANUP_ROWS
            )
            if expired or more:
                self._next_cleanup = now

    # -- the end

    def held(self) -> set[Address]:
        """The webhooks that are disabled or paused."""
        return {address for address, lane in self.lanes.items() if lane.held}

    def idle(self) -> bool:
        """Whether nothing is queued, in flight or unwritten; there may still be something waiting in the spool."""
        return not self._settlements and not any(lane.known for lane in self.lanes.values())

    async def stop(self, grace: float) -> None:
        """End every lane within `grace` seconds and write what they settled. A disk that stays full is not waited
        for."""
        await asyncio.gather(*(lane.stop(grace) for lane in (*self.lanes.values(), *self._retiring)))
        writing = asyncio.create_task(self._last_write())
        _, late = await asyncio.wait([writing], timeout=LAST_WRITE_SECONDS)
        if late:
            writing.cancel()
            self._log.warning("the last outcomes could not be recorded: the next run sends those events again")
        else:
            writing.result()

    async def _last_write(self) -> None:
        async with self._round:
            await self._write_all()


async def _happens(event: asyncio.Event, *, within: float) -> bool:
    """Whether the event is set now, or in so many seconds."""
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False
