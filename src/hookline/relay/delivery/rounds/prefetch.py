"""Prefetch: loads deliveries from the spool into lanes: new ones, retries that are due, and one for a probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from hookline.model import Address
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest

MAX_MADE_DUE_PER_ROUND: Final = 1000


class Prefetcher:
    """Fills the lanes of one dispatcher."""

    def __init__(
        self,
        lanes: Mapping[Address, Lane],
        thread: SpoolThread,
        *,
        clock: Callable[[], float],
        work_available: Callable[[], None],
        on_gone: Callable[[Lane], None],
    ) -> None:
        """Create it without requests.

        Args:
            lanes: The current lanes.
            thread: Runs calls on the spool.
            clock: Returns Unix time in seconds.
            work_available: Called when `fill` has work to do.
            on_gone: Called with a lane that needs deliveries although its endpoint is gone.
        """
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._work_available = work_available
        self._on_gone = on_gone
        self._refill_requests: dict[Address, Lane] = {}
        self._probe_requests: dict[Address, Lane] = {}
        self._dues: list[tuple[float, Address]] = []
        self._to_make_due: dict[Address, float | None] = {}

    def request_refill(self, lane: Lane) -> None:
        """The lane has room, and the spool may hold more deliveries for it."""
        self.note_refill(lane)
        self._work_available()

    def note_refill(self, lane: Lane) -> None:
        """Like `request_refill`, for callers whose round ends with `fill` anyway."""
        self._refill_requests[lane.address] = lane

    def request_probe(self, lane: Lane) -> None:
        """The lane may send a probe, and the spool chooses its delivery."""
        self._probe_requests[lane.address] = lane
        self._work_available()

    def on_enqueued(self, lane: Lane) -> None:
        """The spool has new deliveries for the lane."""
        lane.queue.unread = True
        if lane.queue.needs_refill or lane.breaker.phase is BreakerPhase.GONE:
            self.request_refill(lane)

    def forget(self, address: Address) -> None:
        """The webhook has no lane any more."""
        self._refill_requests.pop(address, None)
        self._probe_requests.pop(address, None)

    def wake_at(self, lane: Lane, due: float | None) -> None:
        """The lane has a retry that is due at `due`, if it is not None."""
        if due is not None and (lane.queue.next_due is None or due < lane.queue.next_due):
            lane.queue.next_due = due
            heappush(self._dues, (due, lane.address))

    @property
    def next_due(self) -> float:
        """When the first retry of all lanes is due; infinity if there is none."""
        return self._dues[0][0] if self._dues else float("inf")

    async def reload(self, lanes: Sequence[Lane]) -> None:
        """Load the queued deliveries of the lanes again, because some may no longer be pending."""
        for lane in lanes:
            lane.queue.reload()
        dues = await self._thread.run(self._spool.next_dues, [lane.address for lane in lanes]) if lanes else {}
        for lane in lanes:
            self.wake_at(lane, dues.get(lane.address))
            self.request_refill(lane)

    def make_late_due(self, lane: Lane) -> None:
        """Make due the retries that would wait longer than any backoff: the clock was set back before the start."""
        after = self._clock() + lane.webhook.delivery.retry.max_delay.total_seconds()
        self._to_make_due.setdefault(lane.address, after)

    async def make_all_due(self) -> None:
        """Make all retries in the spool due, because the clock was set back. `make_retries_due` does the work."""
        self._to_make_due = dict.fromkeys(sorted(await self._thread.run(self._spool.pending), key=str))

    async def make_retries_due(self) -> None:
        """Make one chunk of the requested retries due. Other work runs between chunks."""
        left = MAX_MADE_DUE_PER_ROUND
        while self._to_make_due and left > 0:
            address, after = self._to_make_due.popitem()
            now = self._clock()
            made = await self._thread.retry_while_stalled(
                "recording outcomes", self._spool.make_due, address, now=now, limit=left, after=after
            )
            if made == left:
                self._to_make_due[address] = after
                self._work_available()
            left -= made
            if made and (lane := self._lanes.get(address)) is not None:
                self.wake_at(lane, now)

    async def fill(self) -> None:
        """Load new deliveries for the lanes that requested them, and the retries that are due."""
        now = self._clock()
        requests, self._refill_requests = self._refill_requests, {}
        for lane in requests.values():
            if lane.breaker.phase is BreakerPhase.GONE:
                self._on_gone(lane)
        lanes = [
            lane for lane in requests.values() if lane.queue.needs_refill and self._lanes.get(lane.address) is lane
        ]
        if lanes:
            await self._load_new(lanes)
        with_retries = dict.fromkeys(requests)
        while self._dues and self._dues[0][0] <= now:
            with_retries[heappop(self._dues)[1]] = None
        for address in with_retries:
            current = self._lanes.get(address)
            if current is not None and current.queue.needs_retries(now):
                await self._load_retries(current, now)
        probes, self._probe_requests = self._probe_requests, {}
        for lane in probes.values():
            await self._load_probe(lane, now)

    async def _load_probe(self, lane: Lane, now: float) -> None:
        """Let the spool choose among the deliveries that the lane does not attempt now."""
        if self._lanes.get(lane.address) is not lane or (request := lane.probe_request()) is None:
            return
        item = await self._thread.run(self._spool.dequeue_probe, request, now=now, without=lane.queue.in_flight())
        if self._lanes.get(lane.address) is lane and lane.probe_request() is not None:
            lane.offer_probe(item)

    async def _load_new(self, lanes: list[Lane]) -> None:
        requests = []
        for lane in lanes:
            requests.append(DequeueRequest(lane.address, lane.queue.cursor, lane.queue.room_for_new, lane.ordered))
            lane.queue.unread = False  # before the query: deliveries that are enqueued during it set the flag again
        answers = await self._thread.run(self._spool.dequeue_new, requests)
        for lane, request, (items, cursor) in zip(lanes, requests, answers, strict=True):
            if self._lanes.get(lane.address) is not lane or not lane.queue.take_new(
                DequeueAnswer(request, items, cursor)
            ):
                continue  # the lane was reloaded or replaced during the query
            lane.queue.unread |= len(items) == request.limit
            _grow_window(lane, request.limit, len(items))
            lane.start_attempts()
            if lane.queue.needs_refill and items:
                self.request_refill(lane)

    async def _load_retries(self, lane: Lane, now: float) -> None:
        """Load the retries that are due. If there are more than the lane has room for, it requests the rest later."""
        limit = lane.queue.room_for_retries
        items = await self._thread.run(
            self._spool.dequeue_due, lane.address, now=now, limit=limit, without=frozenset(lane.queue.known)
        )
        lane.queue.offer(items)
        _grow_window(lane, limit, len(items))
        if len(items) < limit:
            lane.queue.next_due = None
            self.wake_at(lane, await self._thread.run(self._spool.next_due, lane.address, after=now))
        lane.start_attempts()


def _grow_window(lane: Lane, requested: int, loaded: int) -> None:
    if lane.breaker.phase is BreakerPhase.CLOSED:
        lane.queue.grow_window(requested, loaded)
