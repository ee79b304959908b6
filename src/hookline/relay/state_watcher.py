"""Follows the stored state: keeps a lane for each applied webhook, and supplies the routes for ingest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from hookline.errors import HooklineError, SpoolUnusable, StateUnusable
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.rounds.endpoint_state import Handover
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.routing import Routes
from hookline.relay.spool.address_moves import FollowedMoves, RecordedMove
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import EndpointState
from hookline.state.store import Snapshot, StateStore, Stored

# The pause before an unreadable state is read again that the ingester needs.
UNREADABLE_RETRY_SECONDS: Final = 1.0

# Creates the lane of an applied webhook, given the state of its endpoint and the epoch of its owner.
LaneFactory = Callable[[Stored, EndpointState, int], Lane]
# The epoch in which this process owns the endpoint of a webhook; None: another process owns it.
OwnerEpoch = Callable[[Address], int | None]


def sole_owner(_: Address) -> int:
    """The epoch of every endpoint, if one process owns the whole spool."""
    return 0


def _addresses(moves: Iterable[RecordedMove]) -> frozenset[Address]:
    return frozenset(address for one in moves for address in (one.old, one.new))


class StateWatcher:
    """Follows one state.

    `context` has the current routes. `unreadable` is the reason for which the state cannot be read, or None.
    """

    def __init__(
        self,
        store: StateStore,
        dispatcher: Dispatcher,
        thread: SpoolThread,
        make_lane: LaneFactory,
        *,
        context: IngestContext,
        clock: RelayClock,
        log: Log,
        owner_epoch: OwnerEpoch = sole_owner,
    ) -> None:
        """Create a watcher that has read nothing yet.

        Args:
            store: The state.
            dispatcher: Receives the lanes.
            thread: Runs calls on the spool.
            make_lane: See LaneFactory.
            context: The context for ingest; its routes are replaced.
            clock: The relay's clock.
            log: Receives a line for each change of the state.
            owner_epoch: See OwnerEpoch. Without an epoch, the webhook has no lane.
        """
        self.context = context
        self.unreadable: str | None = None
        self._store = store
        self._dispatcher = dispatcher
        self._thread = thread
        self._spool = thread.spool
        self._make_lane = make_lane
        self._clock = clock
        self._log = log
        self._version: tuple[str | None, int] = (None, 0)
        self._lineage: str | None = None
        self._owner_epoch = owner_epoch
        self._webhooks: Mapping[Address, Stored] = {}
        self._configurations: dict[Address, tuple[str, int]] = {}  # of the lanes: the hash, and the owner's epoch
        self._reading, self._configuring = asyncio.Lock(), asyncio.Lock()
        self._awaited: frozenset[Address] = frozenset()  # the addresses of moves that another process must follow
        self._handovers: dict[Address, Handover] = {}

    @property
    def serial(self) -> int:
        """The serial of the state that was read last."""
        return max(0, self._version[1])

    @property
    def organizations(self) -> Iterable[str]:
        """The organizations of all applied webhooks."""
        return dict.fromkeys(address.organization for address in self._webhooks)

    async def refresh(self) -> bool:
        """Read the state again if its version changed. If it cannot be read, nothing changes until the next call.
        Returns whether it could be read."""
        try:
            if self._awaited or await asyncio.to_thread(self._store.version) != self._version:
                await self.read()
        except SpoolUnusable:
            raise
        except HooklineError as error:
            if self.unreadable is None:
                self._log.warning("state cannot be read, the relay continues with the last one", reason=error.message)
            self.unreadable = error.message
        else:
            if self.unreadable is not None:
                self._log.warning("state can be read again")
            self.unreadable = None
        if self._dispatcher.has_orphans:
            self._dispatcher.has_orphans = False
            await self._settle_orphans()
        return self.unreadable is None

    async def read_again(self) -> None:
        """Read the state, although its version is the same. If it cannot be read, repeat it until it can."""
        self._version = (None, -1)
        while not await self.refresh():
            await asyncio.sleep(UNREADABLE_RETRY_SECONDS)

    def reload(self) -> None:
        """Make the next refresh read the state again, and the next attempts read every secret again."""
        self._version = (None, -1)
        for lane in self._dispatcher.lanes.values():
            lane.endpoint.renew()

    async def read(self) -> None:
        """Read the state, follow its moves, and change routes and lanes accordingly. Raises StateUnusable."""
        async with self._reading:
            await self._read()

    async def _read(self) -> None:
        first = self._version == (None, 0)
        followed = await self._thread.run(self._spool.followed_moves)  # before the state, which then has all of them
        snapshot = await asyncio.to_thread(self._store.read)
        if snapshot.lineage is None and self._lineage is not None:
            # For example the file is being restored, or its volume is not mounted. With an empty routing table the
            # relay would skip all events.
            raise StateUnusable(
                "the state no longer exists", hint="restore it; the relay continues with the last one"
            )
        before = self._version
        # Set before the lanes change, because `reload` can request another read at any time.
        self._version, self._lineage = (snapshot.lineage, snapshot.serial), snapshot.lineage
        try:
            moves = await self._follow(snapshot, followed)
            if first or not self._awaited:
                routes = Routes.from_snapshot(snapshot)
                self.context = msgspec.structs.replace(self.context, routes=routes, moves=moves)
            await self._configure(snapshot)
        except BaseException:
            self._version = before
            raise
        if self._version != before:
            log = self._log.debug if first else self._log.info
            log("state read", serial=snapshot.serial, webhooks=len(snapshot.webhooks))

    async def _follow(self, snapshot: Snapshot, followed: FollowedMoves) -> int:
        """Follow the new moves in their order. Returns the number of the latest move that the snapshot has.

        The lanes of their addresses end before, and those of the new addresses begin afterwards.
        """
        recorded = [RecordedMove(snapshot.lineage or "", one.serial, one.old, one.new) for one in snapshot.moves]
        moves = [one for one in recorded if one not in followed.moves]
        self._awaited = _addresses(moves)
        number = followed.number
        if not moves:
            return number
        async with self._configuring:
            await asyncio.gather(*(self._end_lane(address) for address in sorted(self._awaited)))
            while moves:
                move = moves[0]
                result = await self._thread.retry_while_stalled(
                    "following a move", self._spool.follow_move, move, now=self._clock.now()
                )
                if result is None:
                    break
                if result.number == number + 1:  # otherwise another process has followed one that this snapshot lacks
                    number = result.number
                if (handover := self._handovers.pop(move.old, None)) is not None:
                    self._handovers[move.new] = handover
                self._log.info("webhook moved", webhook=str(move.new), old=str(move.old), pending=result.pending)
                del moves[0]
            self._awaited = _addresses(moves)
        return number

    async def _end_lane(self, address: Address) -> None:
        self._configurations.pop(address, None)
        if (handover := await self._dispatcher.remove_lane(address)) is not None:
            self._handovers[address] = handover

    async def _configure(self, snapshot: Snapshot) -> None:
        async with self._configuring:
            self._webhooks = snapshot.webhooks
            await self._change_lanes()
        await self._settle_orphans()

    async def owners_changed(self) -> None:
        """Add the lanes of the endpoints that this process owns now, and remove those of the others."""
        async with self._configuring:
            await self._change_lanes()

    def abandon_lanes(self) -> None:
        """Remove all lanes at once: this process owns no endpoint any more. `owners_changed` adds them again."""
        self._dispatcher.abandon(list(self._configurations))
        self._configurations.clear()
        self._handovers.clear()

    async def _change_lanes(self) -> None:
        wanted = {
            address: (stored.hash, epoch)
            for address, stored in self._webhooks.items()
            if address not in self._awaited and (epoch := self._owner_epoch(address)) is not None
        }
        changed = {address: epoch for address, (_, epoch) in wanted.items()
                   if self._configurations.get(address) != wanted[address]}  # fmt: skip
        removed = [address for address in self._configurations if address not in wanted]
        # All at the same time, so that an endpoint that hangs delays only its own successor.
        await asyncio.gather(*(self._remove_lane(address) for address in (*removed, *changed)))
        for address in removed:
            self._configurations.pop(address, None)
            self._handovers.pop(address, None)
        if changed:
            await self._add_lanes({address: (self._webhooks[address], epoch) for address, epoch in changed.items()})

    async def _settle_orphans(self) -> None:
        """Dead-letter the pending deliveries of webhooks that are not applied; if such a webhook has moved, they go
        to its new address. Without a state none was deleted."""
        if self._lineage is None:
            return
        pending = await self._thread.run(self._spool.pending)
        for address in sorted(pending - self._webhooks.keys() - self._awaited, key=str):
            if (new := self.context.routes.new_address(address)) is None:
                self._dispatcher.dead_letter_pending(address, "webhook deleted")
                continue
            moved = await self._thread.retry_while_stalled(
                "following a move", self._spool.move_orphans, address, new, now=self._clock.now()
            )
            self._log.info("webhook moved", webhook=str(new), old=str(address), pending=moved)

    async def _remove_lane(self, address: Address) -> None:
        if (handover := await self._dispatcher.remove_lane(address)) is not None:
            self._handovers[address] = handover
            stored = self._webhooks.get(address)
            before = self._configurations.get(address)  # None: the lane was abandoned in between
            # Otherwise only its owner changes.
            if before is not None and (stored is None or stored.hash != before[0]):
                self._log.info("webhook changed", webhook=str(address))

    async def _add_lanes(self, changed: Mapping[Address, tuple[Stored, int]]) -> None:
        states = await self._thread.run(self._spool.endpoint_states)
        for address, (stored, _) in changed.items():
            disabled = not stored.webhook.enabled
            if states.get(address, EndpointState()).disabled is not disabled:
                await self._thread.retry_while_stalled(
                    "configuring", self._spool.set_disabled, address, disabled=disabled, now=self._clock.now()
                )
        dues = await self._thread.run(self._spool.next_dues, changed.keys())
        for address, (stored, epoch) in changed.items():
            state = states.get(address, EndpointState())
            handover = self._handovers.pop(address, None)
            restored = state if handover is None else handover.restored(state, stored.webhook, stored.hash)
            self._configurations[address] = stored.hash, epoch
            lane = self._make_lane(stored, restored, epoch)
            if handover is not None:
                handover.start(lane)
            self._dispatcher.add_lane(lane, state, dues.get(address))
