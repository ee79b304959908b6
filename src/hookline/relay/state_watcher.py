"""Follows the stored state: the lanes are what was applied, and what is read is routed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

import msgspec

from hookline.errors import StateUnusable
from hookline.model import Address, Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.routing import Defaults, Routes, SkipNames
from hookline.relay.spool.spool import EndpointState
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.state.store import Snapshot, StateStore, Stored


class StateWatcher:
    """`reading` is how lines are read and routed at the moment; `unreadable` is why the state cannot be read, while
    it cannot."""

    def __init__(
        self,
        store: StateStore,
        dispatcher: Dispatcher,
        thread: SpoolThread,
        make_endpoint: Callable[[Webhook], Endpoint],
        *,
        counters: Counters,
        names: SkipNames,
        defaults: Defaults,
        format: str,
        clock: RelayClock,
        random: Random,
        log: Log,
    ) -> None:
        self.reading = IngestContext(routes=Routes({}, {}), defaults=defaults, format=format, names=names)
        self.unreadable: str | None = None
        self._store = store
        self._dispatcher = dispatcher
        self._thread = thread
        self._spool = thread.spool
        self._make_endpoint = make_endpoint
        self._counters = counters
        self._clock = clock
        self._random = random
        self._log = log
        self._version: tuple[str | None, int] = (None, 0)
        self._lineage: str | None = None
        self._configurations: dict[Address, str] = {}

    @property
    def serial(self) -> int:
        """Of the state that is followed."""
        return max(0, self._version[1])

    async def refresh(self) -> None:
        """Pick up what was applied meanwhile. A state that cannot be read changes nothing, and is tried again."""
        try:
            if await asyncio.to_thread(self._store.version) != self._version:
                await self.read()
        except StateUnusable as error:
            if self.unreadable is None:
                self._log.warning("state cannot be read, going on as before", reason=error.message)
            self.unreadable = error.message
        else:
            if self.unreadable is not None:
                self._log.warning("state can be read again")
            self.unreadable = None
        if self._dispatcher.has_orphans:
            self._dispatcher.has_orphans = False
            await self._dead_letter_deleted()

    @property
    def organizations(self) -> frozenset[str]:
        """Of all webhooks that are applied at this moment."""
        return frozenset(address.organization for address in self._configurations)

    def reload(self) -> None:
        """The next refresh reads the state again, and the next attempts read every secret again."""
        self._version = (None, -1)
        for lane in self._dispatcher.lanes.values():
            lane.endpoint.renew()

    async def read(self) -> None:
        """Read the state and make the lanes what it says. Raises StateUnusable."""
        first = self._version == (None, 0)
        snapshot = await asyncio.to_thread(self._store.read)
        if snapshot.lineage is None and self._lineage is not None:
            # A file that is being restored, a volume that is not mounted: an empty routing table must not eat a log.
            raise StateUnusable("the state that was followed is not there any more", hint="put it back")
        before = self._version
        # Before the rest: `reload` may say at any time that it is to be read once more.
        self._version, self._lineage = (snapshot.lineage, snapshot.serial), snapshot.lineage
        self.reading = msgspec.structs.replace(self.reading, routes=Routes.from_snapshot(snapshot))
        try:
            await self._configure(snapshot)
        except BaseException:
            self._version = before
            raise
        if first:
            self._log.debug("state read", serial=snapshot.serial, webhooks=len(snapshot.webhooks))
        else:
            self._log.info("state read", serial=snapshot.serial, webhooks=len(snapshot.webhooks))

    async def _configure(self, snapshot: Snapshot) -> None:
        changed = {
            address: stored
            for address, stored in snapshot.webhooks.items()
            if self._configurations.get(address) != stored.hash
        }
        gone = [address for address in self._configurations if address not in snapshot.webhooks]
        # All at once: an endpoint that hangs delays its own successor and nobody else's.
        await asyncio.gather(*(self._retire(address) for address in (*gone, *changed)))
        for address in gone:
            del self._configurations[address]
        if changed:
            await self._open(changed)
        await self._dead_letter_deleted()

    async def _dead_letter_deleted(self) -> None:
        """What is pending for webhooks that are not applied. Where there is no state, nothing was deleted."""
        if self._lineage is not None:
            for address in await self._thread.call(self._spool.pending) - self._configurations.keys():
                self._dispatcher.dead_letter_pending(address, "webhook deleted")

    async def _retire(self, address: Address) -> None:
        if await self._dispatcher.remove_lane(address):
            self._log.info("webhook changed", webhook=str(address))

    async def _open(self, changed: Mapping[Address, Stored]) -> None:
        known = await self._thread.call(self._spool.standing)
        for address, stored in changed.items():
            disabled = not stored.webhook.enabled
            if known.get(address, EndpointState()).disabled is not disabled:
                await self._thread.retry_while_stalled(
                    "configuring", self._spool.hold, address, disabled=disabled, now=self._clock.now()
                )
        dues = await self._thread.call(self._spool.next_dues, changed.keys())
        for address, stored in changed.items():
            standing = known.get(address, EndpointState())
            self._configurations[address] = stored.hash
            self._dispatcher.serve(self._lane(stored, standing), standing, dues.get(address))

    def _lane(self, stored: Stored, standing: EndpointState) -> Lane:
        webhook = stored.webhook
        lane = Lane(
            webhook,
            self._make_endpoint(webhook),
            self._dispatcher,
            configuration=stored.hash,
            counters=self._counters.of(webhook.address),
            clock=self._clock,
            random=self._random,
        )
        lane.paused = standing.paused is not None
        if standing.stopped is not None and standing.stopped_as == stored.hash:
            lane.breaker.stopped(standing.stopped)
        elif standing.not_before is not None and standing.not_before > self._clock.now():
            lane.breaker.restored(standing.not_before, "asked to wait (Retry-After)")
        return lane
