"""Which lanes want deliveries from the spool, and when: those with room for fresh ones, and those with a retry that
is due."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush

from hookline.model import Address
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool import DequeueRequest
from hookline.relay.spool.spool_thread import SpoolThread


class Prefetcher:
    """Of the lanes that are served. `stirred` is called when there is something to do, `stopped` with a lane whose
    endpoint is gone: it takes nothing more."""

    def __init__(
        self,
        lanes: Mapping[Address, Lane],
        thread: SpoolThread,
        *,
        clock: Callable[[], float],
        stirred: Callable[[], None],
        stopped: Callable[[Lane], None],
    ) -> None:
        self._lanes = lanes
        self._thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._work_available = stirred
        self._stopped = stopped
        self._refill_requests: dict[Address, Lane] = {}
        self._dues: list[tuple[float, Address]] = []

    # -- what is to be done

    def request_refill(self, lane: Lane) -> None:
        """Its window has room, and there may be more in the spool."""
        self.note_refill(lane)
        self._work_available()

    def note_refill(self, lane: Lane) -> None:
        """The same, said in a round that fills: nobody needs to be stirred for it."""
        self._refill_requests[lane.address] = lane

    def on_enqueued(self, lane: Lane) -> None:
        """There are new deliveries of its webhook in the spool."""
        lane.unread = True
        if lane.needs_refill or lane.breaker.phase is BreakerPhase.GONE:
            self.request_refill(lane)

    def forget(self, address: Address) -> None:
        """No lane serves it any more."""
        self._refill_requests.pop(address, None)

    def wake_at(self, lane: Lane, due: float | None) -> None:
        """The lane has a retry that is due then."""
        if due is not None and (lane.next_due is None or due < lane.next_due):
            lane.next_due = due
            heappush(self._dues, (due, lane.address))

    @property
    def next_due(self) -> float:
        """When the first retry of all is due; infinity: there is none."""
        return self._dues[0][0] if self._dues else float("inf")

    async def reload(self, lanes: Iterable[Lane]) -> None:
        """What lanes have forgotten is asked for again."""
        by_address = {lane.address: lane for lane in lanes}
        dues = await self._thread.run(self._spool.next_dues, by_address.keys())
        for lane in by_address.values():
            self.wake_at(lane, dues.get(lane.address))
            self.request_refill(lane)

    # -- the work

    async def fill(self) -> None:
        now = self._clock()
        hungry, self._refill_requests = self._refill_requests, {}
        for lane in hungry.values():
            if lane.breaker.phase is BreakerPhase.GONE:
                self._stopped(lane)
        lanes = [lane for lane in hungry.values() if lane.needs_refill and self._lanes.get(lane.address) is lane]
        if lanes:
            await self._fill_fresh(lanes)
        wanting = dict.fromkeys(hungry)
        while self._dues and self._dues[0][0] <= now:
            wanting[heappop(self._dues)[1]] = None
        for address in wanting:
            lane_of = self._lanes.get(address)
            if lane_of is not None and lane_of.wants_due(now):
                await self._fill_due(lane_of, now)

    async def _fill_fresh(self, lanes: list[Lane]) -> None:
        questions = []
        for lane in lanes:
            questions.append(DequeueRequest(lane.address, lane.cursor, lane.room_for_fresh, lane.ordered))
            lane.unread = False  # before the question: what arrives while it is answered sets it again
        answers = await self._thread.run(self._spool.dequeue_new, questions)
        for lane, question, (items, cursor) in zip(lanes, questions, answers, strict=True):
            if lane.cursor != question.after or self._lanes.get(lane.address) is not lane:
                continue  # told to read anew meanwhile, or replaced
            lane.cursor = cursor
            lane.offer(items)
            lane.unread |= len(items) == question.limit
            lane.loaded(question.limit, len(items))
            lane.start_attempts()
            if lane.needs_refill and items:
                self.request_refill(lane)

    async def _fill_due(self, lane: Lane, now: float) -> None:
        """Retries whose time has come. When there are more than it takes, the lane says when it wants them."""
        limit = lane.room_for_due
        items = await self._thread.run(
            self._spool.dequeue_due, lane.address, now=now, limit=limit, without=frozenset(lane.known)
        )
        lane.offer(items)
        lane.loaded(limit, len(items))
        if len(items) < limit:
            lane.next_due = None
            self.wake_at(lane, await self._thread.run(self._spool.next_due, lane.address, after=now))
        lane.start_attempts()
