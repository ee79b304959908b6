"""Between the spool and the lanes: fills their windows, and writes what they settle in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import Final, ParamSpec, TypeVar

from hookline.model import Address, Webhook
from hookline.observe.log import Log
from hookline.relay.delivery.gate import Phase
from hookline.relay.delivery.outcome import Delivered, Verdict
from hookline.relay.delivery.port import Endpoint
from hookline.relay.lanes import Lane
from hookline.relay.spool.port import Settlement, Spool, Waiting
from hookline.relay.spool.schema import State

GROUP: Final = 500
GATHER_SECONDS: Final = 0.005
LOOK_AROUND_SECONDS: Final = 1.0

P = ParamSpec("P")
T = TypeVar("T")


class SpoolThread:
    """The one thread that the spool is called from, so that waiting for the disk does not hold up the sockets."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Whoever is cancelled while waiting, the transaction is finished all the same."""
        work = asyncio.get_running_loop().run_in_executor(self._thread, partial(function, *args, **kwargs))
        return await asyncio.shield(work)

    def close(self) -> None:
        self._thread.shutdown()


class Dispatcher:
    """Owns the lanes. Implements lanes.LaneListener."""

    def __init__(
        self,
        thread: SpoolThread,
        make_endpoint: Callable[[Webhook], Endpoint],
        *,
        clock: Callable[[], float],
        random: Random,
        log: Log,
    ) -> None:
        self.lanes: dict[Address, Lane] = {}
        self._thread = thread
        self._spool = thread.spool
        self._make_endpoint = make_endpoint
        self._clock = clock
        self._random = random
        self._log = log
        self._settlements: list[tuple[Lane, Settlement]] = []
        self._stirred = asyncio.Event()
        self._urgent = asyncio.Event()
        self._hungry: dict[Address, Lane] = {}
        self._doomed: dict[Address, str] = {}
        self._next_look = 0.0

    # -- what the daemon tells

    async def configure(self, webhooks: Mapping[Address, Webhook]) -> None:
        """Make the lanes what the stored state says: new, changed, or gone with their pending deliveries."""
        for address in [known for known in self.lanes if known not in webhooks]:
            await self._retire(self.lanes.pop(address))
        for address, webhook in webhooks.items():
            lane = self.lanes.get(address)
            if lane is not None and lane.webhook == webhook:
                continue
            if lane is not None:
                await self._retire(lane)
                self._log.info("webhook changed", webhook=str(address))
            await self._open(webhook)
        if webhooks:  # a state that is not there must not bury what waits in the spool
            for address in await self._thread.call(self._spool.pending) - webhooks.keys():
                self._doomed[address] = "webhook deleted"
        self._stirred.set()

    async def _open(self, webhook: Webhook) -> None:
        lane = Lane(webhook, self._make_endpoint(webhook), self, clock=self._clock, random=self._random)
        await self._thread.call(self._spool.hold, lane.address, held=not webhook.enabled, now=self._clock())
        lane.next_due = await self._thread.call(self._spool.next_due, lane.address, after=0.0)
        self.lanes[lane.address] = self._hungry[lane.address] = lane

    async def _retire(self, lane: Lane) -> None:
        """Let a lane finish what is in flight: its successor must not send the same again meanwhile."""
        await lane.stop(lane.webhook.delivery.timeout.total_seconds())
        await self._write()

    def arrived(self, addresses: Iterable[Address]) -> None:
        """There are new deliveries in the spool."""
        for address in addresses:
            if (lane := self.lanes.get(address)) is not None:
                lane.unread = True
                self._hungry[address] = lane
        self._stirred.set()

    # -- what the lanes tell

    def settled(self, lane: Lane, settlement: Settlement) -> None:
        self._settlements.append((lane, settlement))
        self._stirred.set()
        if lane.full or len(self._settlements) >= GROUP:
            self._urgent.set()

    def attempted(self, lane: Lane, item: Waiting, verdict: Verdict, number: int, seconds: float) -> None:
        reason = None if isinstance(verdict, Delivered) else verdict.reason
        if reason is None and not self._log.debugging:
            return
        (self._log.debug if reason is None else self._log.info)(
            "attempt",
            webhook=str(lane.address),
            id=item.id.hex(),
            attempt=number,
            outcome=type(verdict).__name__.lower(),
            reason=reason,
            milliseconds=round(seconds * 1000, 1),
        )

    def phase_changed(self, lane: Lane, before: Phase) -> None:
        gate = lane.gate
        self._log.info(
            "endpoint",
            webhook=str(lane.address),
            phase=str(gate.phase),
            before=str(before),
            reason=gate.reason,
            seconds=round(max(0.0, gate.until - self._clock()), 1) if gate.phase is Phase.WAITING else None,
        )
        if gate.phase is Phase.STOPPED:
            self._doomed[lane.address] = gate.reason or "stopped"

    # -- the work

    async def run(self) -> None:
        """Write and fill until cancelled. Raises SpoolUnusable when the disk refuses."""
        while True:
            await self._wait_for_work()
            await self._write()
            await self._bury()
            await self._look_around()
            await self._fill()

    async def _wait_for_work(self) -> None:
        """Until something is there to do; then a moment longer for a larger group, unless a lane waits for it."""
        pause = max(0.0, min([self._next_look, *self._dues()]) - self._clock())
        if await _happens(self._stirred, within=min(pause, LOOK_AROUND_SECONDS)):
            self._stirred.clear()
            await _happens(self._urgent, within=GATHER_SECONDS)
            self._urgent.clear()

    def _dues(self) -> list[float]:
        """When waiting retries of the lanes that have room for them are due."""
        return [lane.next_due for lane in self.lanes.values() if lane.next_due is not None and lane.room_for_due]

    async def _write(self) -> None:
        """One transaction for all that was settled since the last one."""
        group, self._settlements = self._settlements, []
        if not group:
            return
        freed = await self._thread.call(self._spool.settle, [one for _, one in group], now=self._clock())
        for lane, one in group:
            lane.forget(one.seq)
            if one.state is State.PENDING and one.due is not None:
                lane.next_due = one.due if lane.next_due is None else min(lane.next_due, one.due)
            if lane.hungry:
                self._hungry[lane.address] = lane
        for item in freed:
            if (waiting := self.lanes.get(item.address)) is not None and waiting.ordered and not waiting.held:
                waiting.offer([item])
                waiting.pump()

    async def _bury(self) -> None:
        """Dead letters of a webhook that is gone; not of what is in flight, which gets its own outcome."""
        doomed, self._doomed = self._doomed, {}
        for address, reason in doomed.items():
            lane = self.lanes.get(address)
            busy = lane.in_flight() if lane is not None else ()
            buried = await self._thread.call(
                self._spool.bury, address, reason=reason, now=self._clock(), without=busy
            )
            if lane is not None:
                lane.drop_queued()
            if buried:
                self._log.info("buried", webhook=str(address), deliveries=buried, reason=reason)

    async def _look_around(self) -> None:
        """Once a second: has another process put something back into the spool?"""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_AROUND_SECONDS
        if await self._thread.call(self._spool.changed_elsewhere):
            for lane in self.lanes.values():
                lane.next_due = await self._thread.call(self._spool.next_due, lane.address, after=0.0)

    async def _fill(self) -> None:
        now = self._clock()
        hungry, self._hungry = self._hungry, {}
        for lane in self.lanes.values():
            is_due = lane.next_due is not None and lane.next_due <= now
            if lane.gate.phase is Phase.STOPPED:
                if is_due or lane.address in hungry:
                    self._doomed[lane.address] = lane.gate.reason or "stopped"
                    lane.next_due = None
                continue
            if lane.address in hungry and lane.hungry:
                await self._fill_fresh(lane)
            if is_due and lane.room_for_due:
                await self._fill_due(lane, now)
            lane.pump()

    async def _fill_fresh(self, lane: Lane) -> None:
        limit, after = lane.room_for_fresh, lane.cursor
        lane.unread = False  # before the question: what arrives while it is answered sets it again
        items, lane.cursor = await self._thread.call(
            self._spool.fresh, lane.address, after=after, limit=limit, ordered=lane.ordered
        )
        lane.unread |= len(items) == limit
        lane.offer(items)

    async def _fill_due(self, lane: Lane, now: float) -> None:
        limit = lane.room_for_due
        items = await self._thread.call(self._spool.due, lane.address, now=now, limit=limit, without=set(lane.known))
        lane.offer(items)
        if len(items) < limit:
            lane.next_due = await self._thread.call(self._spool.next_due, lane.address, after=now)

    # -- the end

    def idle(self) -> bool:
        """Whether nothing is queued, in flight or unwritten; there may still be something waiting in the spool."""
        return not self._settlements and not any(lane.known for lane in self.lanes.values())

    async def stop(self, grace: float) -> None:
        """End every lane within `grace` seconds and write what they settled."""
        await asyncio.gather(*(lane.stop(grace) for lane in self.lanes.values()))
        await self._write()


async def _happens(event: asyncio.Event, *, within: float) -> bool:
    """Whether the event is set now, or in so many seconds."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return False
