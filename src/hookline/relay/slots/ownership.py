"""Which endpoints this process owns on a shared spool. Renews the lease, and adds and removes lanes as slots move.

The process stops to send when its lease is over by its own clock, which is before the end by the database's clock. It
then abandons its lanes. While the database is away but the lease lasts, lanes start nothing, and outcomes wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.slots.delivery_guard import DeliveryGuard
from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.spool.crash_notes import slot_work
from hookline.relay.spool.leases import SharedSpool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import StateWatcher

RENEW_SECONDS: Final = 1.0
RENEWALS_PER_LEASE: Final = 5
MIN_ARRIVAL_POLL_SECONDS: Final = 0.02
MAX_ARRIVAL_POLL_SECONDS: Final = 0.25

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Ownership:
    """The slots of one process. `away` is the reason why the lease cannot be renewed; None: it can."""

    def __init__(
        self, spool: SharedSpool, thread: SpoolThread, dispatcher: Dispatcher, guard: DeliveryGuard, log: Log
    ) -> None:
        """Create it for a spool that has joined. Set `lanes` before `run`."""
        self.lanes: StateWatcher | None = None
        self.away: str | None = None
        self._spool = spool
        self._leases = spool.leases
        self._thread = thread
        self._dispatcher = dispatcher
        self._guard = guard
        self._begun: dict[int, int] = {}  # the epochs of the owned slots that may have lanes
        self._waiting: dict[int, int] = {}  # those that wait, because the processes before this one have crashed
        self._log = log
        self._calls = ThreadPoolExecutor(max_workers=1, thread_name_prefix="leases")
        self._changed = asyncio.Event()
        self._releasing: frozenset[int] = frozenset()
        self._lane_epochs: dict[int, int] = {}
        self._end: asyncio.TimerHandle | None = None
        self._held_back = False  # a lane was not permitted to send
        self._abandoned = 0  # how often
        self._renewing: asyncio.Task[None] | None = None

    # -- asked by the state watcher and by lanes

    def epoch_of(self, address: Address) -> int | None:
        """The epoch in which this process owns an endpoint; None: it does not, or is about to give it up."""
        slot = self._leases.slot_of(address)
        if slot in self._releasing or not self._leases.is_valid:
            return None
        epoch = self._leases.owned.get(slot)
        return epoch if self._begun.get(slot) == epoch else None

    def may_send(self, slot: int, epoch: int) -> bool:
        """Whether the lane of an endpoint may start an attempt."""
        permitted = self._leases.owned.get(slot) == epoch and self._thread.stalled is None and self._leases.is_valid
        self._held_back |= not permitted
        return permitted

    def permit(self, address: Address, epoch: int) -> Callable[[], bool]:
        """What a lane asks before each attempt."""
        return partial(self.may_send, self._leases.slot_of(address), epoch)

    # -- asked by a run that ends

    async def latest_place(self) -> int:
        """The place in the order of the spool up to which everything is stored now."""
        return await self._thread.run(self._spool.latest_place)

    async def pending_until(self, place: int) -> dict[Address, bool]:
        """The webhooks with pending deliveries up to a place, and whether each is disabled or paused."""
        return await self._thread.run(self._spool.pending_until, place)

    # -- asked by the reader, in its thread

    def take_reader(self, name: str) -> int | None:
        """Take the lease of the sources of a name. Returns its epoch; None: another process has it, or it is away."""
        try:
            taken = self._calls.submit(self._leases.take_reader, name).result()
        except SpoolStalled:
            return None
        return self._leases.reader_epoch if taken else None

    def positions_of_others(self) -> list[NamedPosition]:
        """The positions of the other names. A call of the spool."""
        return self._spool.positions_of_others()

    # -- the work

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run a call of the leases in their thread."""
        return await asyncio.get_running_loop().run_in_executor(self._calls, lambda: function(*args, **kwargs))

    def start(self) -> None:
        """Begin to renew the lease. It goes on while the relay stops, until `close`."""
        self._renewing = asyncio.get_running_loop().create_task(self._keep_renewing())

    async def run(self) -> None:
        """Follow the changes of the owned slots, and new deliveries, until cancelled. Raises SpoolUnusable."""
        assert self._renewing is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_changes(group))
            group.create_task(self._follow_arrivals())
            group.create_task(self._follow_stalls())
            await asyncio.shield(self._renewing)

    async def close(self) -> None:
        """End the renewals. The spool gives the lease up when it is closed."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        if self._end is not None:
            self._end.cancel()
        self._calls.shutdown()

    async def _keep_renewing(self) -> None:
        while True:
            await self._renew()
            await asyncio.sleep(min(RENEW_SECONDS, self._leases.lease_seconds / RENEWALS_PER_LEASE))

    async def _renew(self) -> None:
        try:
            if not await self.call(self._leases.renew):
                self._log.warning("the lease was over: this process owned nothing any more, and begins again")
                self._abandon()
                await self.call(self._leases.join)
            membership = await self.call(self._leases.rebalance)
        except SpoolStalled as stalled:
            if self.away is None:
                self._log.warning("the lease cannot be renewed", reason=stalled.message)
            self.away = stalled.message
            return
        if self.away is not None:
            self._log.warning("the lease is renewed again")
        self.away = None
        self._watch_end()
        surplus = len(membership.owned) - membership.target
        if surplus > 0 and not self._releasing:
            self._releasing = frozenset(sorted(membership.owned)[-surplus:])
        if dict(membership.owned) != self._lane_epochs or self._releasing:
            self._changed.set()

    def _watch_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
        seconds = max(0.0, self._leases.valid_seconds)
        self._end = asyncio.get_running_loop().call_later(seconds, self._on_end)

    def _on_end(self) -> None:
        if self._leases.is_valid:
            self._watch_end()
        else:
            self._log.warning("the lease is over, so nothing is sent until it is renewed")
            self._abandon()

    def _abandon(self) -> None:
        self._abandoned += 1
        self._lane_epochs = {}
        self._releasing = frozenset()
        if self.lanes is not None:
            self.lanes.abandon_lanes()

    async def _begin(self, owned: dict[int, int], group: asyncio.TaskGroup) -> None:
        """Count the starts of slots that were taken over. Their lanes may begin, but wait after crashes."""
        self._begun = {slot: epoch for slot, epoch in self._begun.items() if owned.get(slot) == epoch}
        known = self._begun | self._waiting
        new = {slot: epoch for slot, epoch in owned.items() if known.get(slot) != epoch}
        if not new:
            return
        await self._guard.count_starts([slot_work(slot) for slot in new])
        for slot, epoch in new.items():
            if self._guard.must_wait(slot_work(slot)):
                self._waiting[slot] = epoch
                group.create_task(self._begin_later(slot, epoch))
            else:
                self._begun[slot] = epoch

    async def _begin_later(self, slot: int, epoch: int) -> None:
        await self._guard.wait_for(slot_work(slot))
        if self._waiting.get(slot) == epoch:
            del self._waiting[slot]
        if self._leases.owned.get(slot) == epoch:
            self._begun[slot] = epoch
            self._changed.set()

    async def _follow_changes(self, group: asyncio.TaskGroup) -> None:
        """Add and remove lanes. Slots are given up once their lanes have ended."""
        assert self.lanes is not None
        while True:
            await self._changed.wait()
            self._changed.clear()
            owned = dict(self._leases.owned)
            await self._begin(owned, group)
            releasing, abandoned = self._releasing, self._abandoned
            await self.lanes.owners_changed()
            if abandoned != self._abandoned:
                continue  # the lanes are gone; the next renewal sets `_changed` again
            self._lane_epochs = owned
            if releasing and releasing == self._releasing:
                with suppress(SpoolStalled):  # the next renewal sets `_changed` again
                    await self.call(self._leases.release, releasing)
                    self._releasing = frozenset()
                    self._lane_epochs = {slot: owned[slot] for slot in owned if slot not in releasing}
            self._log.info("slots changed", owned=len(self._lane_epochs), released=len(releasing))

    async def _follow_arrivals(self) -> None:
        """Wake the lanes for which another process has stored deliveries."""
        pause = MIN_ARRIVAL_POLL_SECONDS
        while True:
            found = await self._thread.run(self._spool.arrivals)
            self._dispatcher.on_enqueued(found)
            pause = MIN_ARRIVAL_POLL_SECONDS if found else min(2 * pause, MAX_ARRIVAL_POLL_SECONDS)
            await asyncio.sleep(pause)

    async def _follow_stalls(self) -> None:
        """Let lanes continue when the spool answers again, or the lease lasts again.

        Also after an outage in which no lane had anything to send: a standby that has become the primary can lack
        outcomes, and their deliveries are pending again.
        """
        stalls = self._thread.stalls
        while True:
            await asyncio.sleep(MAX_ARRIVAL_POLL_SECONDS)
            self._held_back |= stalls != self._thread.stalls
            stalls = self._thread.stalls
            if self._held_back and self._thread.stalled is None and self._leases.is_valid:
                self._held_back = False
                self._dispatcher.continue_sending()
