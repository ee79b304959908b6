"""Connects the spool and the lanes, as their listener: in rounds, it has lanes filled and settlements recorded.

Every kind of work is requested by address: refills, retries that are due, dead letters. The cost of a round therefore
depends on the work in it, not on the number of lanes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Set
from typing import Final

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord
from hookline.relay.delivery.attempt_log import AttemptLog
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.hand_over import HandOver
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.rounds.dead_lettering import DeadLettering
from hookline.relay.delivery.rounds.endpoint_state import EndpointStateWriter, Handover
from hookline.relay.delivery.rounds.prefetch import Prefetcher
from hookline.relay.delivery.rounds.round_timer import GATHER_SECONDS, RoundTimer
from hookline.relay.delivery.rounds.settlement_recorder import SettlementRecorder
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import EndpointState, QueuedDelivery, Retention, Settlement, State

HOUSEKEEPING_SECONDS: Final = 1.0
CLEANUP_SECONDS: Final = 10.0
CLEANUP_ROWS: Final = 250  # removed in less than 5 ms of processor time, also if each is a dead letter
LAST_WRITE_SECONDS: Final = 10.0


class Dispatcher:
    """Runs lanes. With `has_orphans`, the spool may hold pending deliveries of a webhook that has no lane. With
    `has_replayed_lines`, another process may have put back rejected lines. Their reader resets them.

    `round_ended` is set after each round: after settlements and other changes, and at least once a second.
    `round_ended_at` is the relay's even time at the last one.

    `recorder` receives the settlements of the lanes. `hand_over` receives the deliveries that were just stored.
    """

    def __init__(
        self, thread: SpoolThread, *, clock: RelayClock, log: Log, counters: Counters, keep: Retention
    ) -> None:
        """Create a dispatcher without lanes.

        Args:
            thread: Runs calls on the spool.
            clock: The relay's clock.
            log: Receives the lines about attempts and endpoints.
            counters: Count the dead letters.
            keep: How long the spool keeps settled deliveries.
        """
        self.lanes: dict[Address, Lane] = {}
        self.has_orphans = self.has_replayed_lines = False
        self.round_ended = asyncio.Event()
        self.round_ended_at = clock.elapsed()
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._counters = counters
        self._attempt_log = AttemptLog(log)
        self._keep = keep
        self._dead_lettering = DeadLettering(self.lanes, thread, clock=clock, log=log, counters=counters)
        self._endpoint_states = EndpointStateWriter(self.lanes, thread, log)
        self._retiring: dict[Lane, None] = {}
        self._ending: set[asyncio.Task[None]] = set()  # of abandoned lanes
        self._rounds = RoundTimer()
        self._prefetcher = Prefetcher(
            self.lanes, thread, clock=clock.now, work_available=self._request_round, on_gone=self._dead_letter_gone
        )
        self.recorder = SettlementRecorder(
            self.lanes,
            thread,
            self._rounds,
            clock=clock,
            prefetcher=self._prefetcher,
            on_not_delivered=self._not_delivered,
            on_gone=self._dead_letter_gone,
        )
        self.hand_over = HandOver(self.lanes, self.on_enqueued, on_waiting=self.recorder.note_waiting_events)
        self._round = asyncio.Lock()
        self._next_housekeeping = 0.0
        self._next_cleanup = 0.0
        self._must_clean_up = False
        self._must_reload = False
        self._clock_step = 0.0

    def add_lane(self, lane: Lane, state: EndpointState, next_due: float | None) -> None:
        """Add a lane whose webhook has none, with the state of its endpoint and the due time of its first retry."""
        self.lanes[lane.address] = lane
        self._endpoint_states.add_lane(lane, state)
        self._prefetcher.wake_at(lane, next_due)
        if next_due is not None:  # one transaction, and a start can add ten thousand lanes
            self._prefetcher.make_late_due(lane)
        self._prefetcher.request_refill(lane)

    async def remove_lane(self, address: Address) -> Handover | None:
        """Remove a lane once its attempts in flight have finished and their settlements are written.

        Otherwise its successor could send the same deliveries again. Its other deliveries remain pending. Returns
        None if the webhook has no lane.
        """
        self._prefetcher.forget(address)
        lane = self.lanes.pop(address, None)
        if lane is None:
            return None
        times_opened = lane.breaker.times_opened
        self._retiring[lane] = None  # if the relay stops during the wait, its own grace period applies
        await lane.stop(lane.webhook.delivery.timeout.total_seconds())
        async with self._round:
            await self._write_outcomes()
        del self._retiring[lane]
        became_gone = lane.breaker.phase is BreakerPhase.GONE and lane.breaker.times_opened != times_opened
        return Handover(lane.webhook.url, lane.breaker.reason if became_gone else None, lane.rate_limiter)

    def abandon(self, addresses: Iterable[Address]) -> None:
        """Remove lanes at once, with their attempts in flight and their unwritten settlements: this process does not
        own the endpoints any more, and the next owner sends those deliveries again."""
        lanes = list(self._retiring)
        for address in addresses:
            self._prefetcher.forget(address)
            if (lane := self.lanes.pop(address, None)) is not None:
                lanes.append(lane)
        for lane in lanes:
            lane.abandoned = True
            ending = asyncio.get_running_loop().create_task(lane.stop(0.0))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        if dropped := self.recorder.drop_abandoned():
            self._log.warning("outcomes dropped: the next owner sends their events again", outcomes=dropped)

    def continue_sending(self) -> None:
        """The process may send again: it owns the endpoints, and the spool answers. The lanes load their deliveries
        again, because an answer of the spool may be lost, for example the successors of a settlement."""
        self._must_reload = True
        for lane in self.lanes.values():
            lane.start_attempts()
        self._request_round()

    def dead_letter_pending(self, address: Address, reason: str) -> None:
        """Dead-letter the pending deliveries of a webhook that has no lane."""
        self._dead_lettering.dead_letter_pending(address, reason)
        self._request_round()

    def on_enqueued(self, addresses: Iterable[Address]) -> None:
        """The spool has new deliveries for these webhooks."""
        for address in addresses:
            if (lane := self.lanes.get(address)) is not None:
                self._prefetcher.on_enqueued(lane)
            else:
                self.has_orphans = True

    def clock_stepped(self, seconds: float) -> None:
        """The wall clock was set by `seconds`, negative if back. The next round handles it."""
        self._clock_step += seconds
        self._request_round()

    def _not_delivered(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        # Also without a change of the phase: a Retry-After can lengthen the wait of an open breaker.
        self._endpoint_states.changed(lane)
        self._attempt_log.settled(lane, item, settlement, self._clock.now())
        if settlement.state is State.DEAD:
            self._counters.add_dead(settlement.reason)

    def attempted(self, lane: Lane, item: QueuedDelivery, record: AttemptRecord) -> None:
        self._attempt_log.attempted(lane, item, record)

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None:
        self._attempt_log.phase_changed(lane, before, self._clock.now())
        self._endpoint_states.changed(lane)
        if self.lanes.get(lane.address) is not lane:
            return  # a lane that ends: the webhook's next configuration may name another endpoint
        if lane.breaker.phase is BreakerPhase.GONE:
            self._dead_letter_gone(lane)
        elif lane.breaker.phase is BreakerPhase.CLOSED:
            self._prefetcher.request_refill(lane)

    def _dead_letter_gone(self, lane: Lane) -> None:
        self._dead_lettering.dead_letter_pending(lane.address, lane.breaker.reason or "gone", lane)
        self._request_round()

    def request_refill(self, lane: Lane) -> None:
        self._prefetcher.request_refill(lane)

    def request_probe(self, lane: Lane) -> None:
        self._prefetcher.request_probe(lane)

    async def run(self) -> None:
        """Write settlements and fill lanes until cancelled. Raises SpoolUnusable if the spool is damaged."""
        self._rounds.request(0.0)
        while True:
            await self._rounds.begin()
            async with self._round:
                await self._handle_clock_step()
                await self.recorder.record()
                await self._prefetcher.make_retries_due()
                await self._endpoint_states.write()
                await self._write_dead_letters()
                if (elapsed := self._clock.elapsed()) >= self._next_housekeeping:
                    self._next_housekeeping = elapsed + HOUSEKEEPING_SECONDS
                    await self._run_housekeeping()
                await self._clean_up()
                await self._prefetcher.fill()
            self.round_ended_at = self._clock.elapsed()
            self.round_ended.set()
            self.hand_over.room_changed()
            until_due = self._prefetcher.next_due - self._clock.now()
            self._rounds.request(min(self._next_housekeeping - self.round_ended_at, until_due))

    def _request_round(self) -> None:
        self._rounds.request(GATHER_SECONDS)

    async def _handle_clock_step(self) -> None:
        """A step forward shortens waits, which is harmless. A step back would lengthen them by the whole step, so the
        waits in memory move with the clock, and the retries in the spool become due at once."""
        seconds, self._clock_step = self._clock_step, 0.0
        if not seconds:
            return
        self._log.warning("the clock was set", seconds=round(seconds, 1))
        if seconds < 0:
            for lane in self.lanes.values():
                lane.clock_set_back(-seconds)
                self._endpoint_states.changed(lane)
            await self._prefetcher.make_all_due()

    async def _write_dead_letters(self) -> None:
        if self._dead_lettering.pending:
            await self._prefetcher.reload(await self._dead_lettering.write_dead_letters())
            await self._prefetcher.reload(await self._dead_lettering.expire())
        if self._dead_lettering.pending:
            self._request_round()

    async def _run_housekeeping(self) -> None:
        """Apply changes that another process made to the spool, and begin to expire deliveries and to clean up."""
        if self._must_reload:
            self._must_reload = False
            await self._prefetcher.reload(list(self.lanes.values()))
        changed = await self._thread.run(self._spool.changed_by_others)
        if changed or self._endpoint_states.must_read:
            await self._prefetcher.reload(await self._endpoint_states.apply_operator_requests())
        if changed:
            self.has_orphans = self.has_replayed_lines = True
            dues = await self._thread.run(self._spool.next_dues, list(self.lanes))
            for lane in self.lanes.values():
                self._prefetcher.wake_at(lane, dues.get(lane.address))
        if (elapsed := self._clock.elapsed()) >= self._next_cleanup:
            self._next_cleanup = elapsed + CLEANUP_SECONDS
            self._dead_lettering.expire_pending()
            self._must_clean_up = True
            self._request_round()

    async def _clean_up(self) -> None:
        """Remove one chunk of what the spool need not keep. Other work runs between chunks."""
        if self._must_clean_up:
            now = self._clock.cautious_now()
            self._must_clean_up = await self._thread.retry_while_stalled(
                "cleaning up", self._spool.clean_up, now=now, keep=self._keep, limit=CLEANUP_ROWS
            )
        if self._must_clean_up:
            self._request_round()

    def expect_end(self) -> None:
        """No more deliveries will come, and the run waits for the outcomes of the last ones."""
        self.recorder.expect_end()
        self._request_round()

    def suspended_addresses(self) -> Set[Address]:
        """The webhooks that are disabled or paused."""
        return dict.fromkeys(address for address, lane in self.lanes.items() if lane.suspended).keys()

    def idle(self) -> bool:
        """Whether no delivery is queued, in flight or unwritten. Deliveries may still wait in the spool."""
        return self.recorder.is_empty and not any(lane.queue.known for lane in self.lanes.values())

    async def stop(self, grace_seconds: float) -> None:
        """Stop all lanes and write their settlements, if the spool can be written within LAST_WRITE_SECONDS."""
        await asyncio.gather(*(lane.stop(grace_seconds) for lane in (*self.lanes.values(), *self._retiring)))
        writing = asyncio.create_task(self._write_last())
        _, late = await asyncio.wait([writing], timeout=LAST_WRITE_SECONDS)
        if late:
            writing.cancel()
            self._log.warning("the last outcomes could not be recorded: the next run sends those events again")
        else:
            writing.result()

    async def _write_last(self) -> None:
        async with self._round:
            await self._write_outcomes()

    async def _write_outcomes(self) -> None:
        """Write all settlements, and the states of endpoints that follow from them."""
        await self.recorder.record_all()
        await self._endpoint_states.write()
