"""The spool of a run, and what it had when the run began."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.sources.source import Position
from hookline.relay.spool.leases import SharedSpool
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_thread import STALLED_RETRY_SECONDS

STARTING: Final = "starting"

_T = TypeVar("_T")


class OpenedSpool(NamedTuple):
    """An open spool, with its tally and its positions. `shared` is the same spool, if several processes share it."""

    spool: Spool
    shared: SharedSpool | None
    tally: Mapping[str, int]
    positions: Sequence[Position]


def opened_spool(spool: Spool) -> OpenedSpool:
    """A spool that this process owns."""
    return OpenedSpool(spool, None, spool.tally(), spool.positions())


class JoinableStore(Protocol):
    """The store of a shared spool (factory.SpoolStore)."""

    shared: bool

    def exists(self) -> bool: ...

    def join(self, *, kind: str, name: str) -> SharedSpool: ...


async def join_shared(store: JoinableStore, log: Log, *, kind: str, name: str) -> OpenedSpool:
    """Join a spool. If the database fails after its first answer, wait until it answers again.

    Raises SpoolUnusable, and SpoolStalled if the database does not answer at all: the address may be wrong.
    """
    if store.shared:
        store.exists()
    shared = await _when_it_answers(partial(store.join, kind=kind, name=name), log)
    shared.reader = name
    tally = await _when_it_answers(shared.tally, log)
    return OpenedSpool(shared, shared, tally, await _when_it_answers(shared.positions, log))


async def _when_it_answers(call: Callable[[], _T], log: Log) -> _T:
    waiting = False
    while True:
        try:
            result = call()
        except SpoolStalled as stalled:
            if not waiting:
                log.warning(f"{STARTING} waits for the spool", reason=stalled.message)
            waiting = True
            await asyncio.sleep(STALLED_RETRY_SECONDS)
        else:
            if waiting:
                log.warning(f"{STARTING} continues")
            return result
