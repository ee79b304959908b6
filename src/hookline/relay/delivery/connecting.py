"""From a name to a connection: every address checked, and connected to without a second look-up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from hookline.relay.delivery.dialing import Dial, dial
from hookline.relay.delivery.resolving import Resolve
from hookline.relay.network import NetworkRules

# RFC 8305 §5: how long an attempt has before the next address is tried beside it.
STAGGER_SECONDS = 0.25


class Closable(Protocol):
    async def aclose(self) -> None: ...


Connection = TypeVar("Connection", bound=Closable)


class Raw:
    """A connected socket that does not block; `connect_checked` can close it when another address was faster."""

    def __init__(self, connected: socket.socket, address: str) -> None:
        self.socket = connected
        self.address = address

    async def aclose(self) -> None:
        self.socket.close()


async def connect_socket(address: str, *, port: int, due: float, dial: Dial = dial) -> Raw:
    """Connect to a numeric address, with its zone where it has one: nothing is looked up here. Raises OSError."""
    return Raw(await dial(address, port, due), address)


async def connect_checked(
    host: str,
    port: int,
    *,
    rules: NetworkRules,
    resolve: Resolve,
    connect: Callable[[str], Awaitable[Connection]],
) -> Connection:
    """Resolve `host`, check every answer, and return the first connection that `connect` makes to one of them.

    Raises AddressRefused when one answer is refused, and what `resolve` or the last `connect` raised.
    """
    addresses = list(dict.fromkeys(await resolve(host, port)))
    rules.check(host, addresses)
    if not addresses:
        raise OSError(f"no address for {host}")
    if len(addresses) == 1:
        return await connect(addresses[0])
    return await _first_connected(addresses, connect)


async def _first_connected(addresses: Sequence[str], connect: Callable[[str], Awaitable[Connection]]) -> Connection:
    """Happy Eyeballs (RFC 8305): an address that does not answer costs a quarter of a second, not the deadline."""
    waiting = list(addresses)
    running: set[asyncio.Future[Connection]] = set()
    finished: list[asyncio.Future[Connection]] = []
    winner: Connection | None = None
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            limit = STAGGER_SECONDS if waiting else None
            done, running = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finished += done
            for attempt in done:
                if attempt.exception() is None:
                    winner = attempt.result()
                    return winner
        return finished[-1].result()
    finally:
        for attempt in running:
            attempt.cancel()
        await _close_all_but(winner, [*finished, *running])


async def _close_all_but(winner: Closable | None, attempts: Sequence[asyncio.Future[Connection]]) -> None:
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(result, BaseException) and result is not winner:
            await result.aclose()
