"""From a name to a connection. Every address is checked, and the name is not looked up a second time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.resolver import Resolve, system_addresses

# RFC 8305 §5: the time after which the next address is tried beside an address that does not answer.
STAGGER_SECONDS: Final = 0.25

# Connects a socket to a checked IP address (with its zone, if it has one) and a port, and looks nothing up. The last
# argument is the caller's deadline, in seconds on the loop's clock.
OpenConnection = Callable[[str, int, float], Awaitable[socket.socket]]


async def open_connection(address: str, port: int, due: float) -> socket.socket:  # noqa: ARG001 - the caller's timeout
    """A non-blocking socket that is connected to the address. Raises OSError."""
    ((family, kind, protocol, _, where), *_) = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    connected = socket.socket(family, kind, protocol)
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connected, where)
    except BaseException:
        connected.close()
        raise
    return connected


@dataclass(frozen=True, slots=True)
class Resolved:
    """The resolver's answer, each address once. The address rules were not applied yet."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Connected:
    """The address that a connection was made to, directly or through a proxy."""

    address: str


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A TLS handshake with a certificate that was accepted.

    `version`: as OpenSSL names it. `chain`: in DER, the endpoint's own first; only that one before Python 3.13.
    """

    version: str
    chain: tuple[bytes, ...]


# The steps of one connection, in this order. An exception of the connector ends them.
ConnectEvent = Resolved | Connected | Encrypted
Observe = Callable[[ConnectEvent], None]


def encrypted(session: ssl.SSLObject) -> Encrypted:
    verified = getattr(session, "get_verified_chain", None)
    chain: Sequence[bytes | None] = [] if verified is None else verified()
    chain = chain or [session.getpeercert(binary_form=True)]
    return Encrypted(str(session.version()), tuple(der for der in chain if der is not None))


def ignore(_: ConnectEvent) -> None:
    """Observe nothing."""


class Closable(Protocol):
    async def aclose(self) -> None: ...


AnyConnection = TypeVar("AnyConnection", bound=Closable)


@dataclass(frozen=True, slots=True)
class RawConnection:
    """A connected, non-blocking socket. `connect_checked` closes it if another address was faster."""

    socket: socket.socket
    address: str

    async def aclose(self) -> None:
        self.socket.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """How the relay connects to one endpoint. `observe` follows each connection."""

    host: str
    port: int
    rules: NetworkRules
    resolve: Resolve = system_addresses
    open_connection: OpenConnection = open_connection
    observe: Observe = ignore

    async def connect(self, due: float) -> RawConnection:
        """A TCP connection to an address that the rules admit. `due`: the deadline, in seconds on the loop's clock.

        The caller enforces the deadline. Raises AddressRefused, ProxyRefused and OSError.
        """

        async def connect_to(address: str) -> RawConnection:
            return RawConnection(await self.open_connection(address, self.port, due), address)

        raw = await connect_checked(
            self.host, self.port, rules=self.rules, resolve=self.resolve, connect=connect_to, observe=self.observe
        )
        self.observe(Connected(raw.address))
        return raw


async def connect_checked(
    host: str,
    port: int,
    *,
    rules: NetworkRules,
    resolve: Resolve,
    connect: Callable[[str], Awaitable[AnyConnection]],
    observe: Observe = ignore,
) -> AnyConnection:
    """Resolve `host`, check every address, and return the first connection to one of them.

    Args:
        host: The endpoint's host.
        port: Its port.
        rules: Which addresses may be connected to.
        resolve: The resolver.
        connect: Connects to one IP address.
        observe: Called with the resolver's answer.

    Raises:
        AddressRefused: The rules refuse one of the addresses.
        OSError: The host has no address. Exceptions of `resolve` and of the last `connect` pass through.
    """
    addresses = list(dict.fromkeys(await resolve(host, port)))
    observe(Resolved(tuple(addresses)))
    rules.check(host, addresses)
    if not addresses:
        raise OSError(f"no address for {host}")
    if len(addresses) == 1:
        return await connect(addresses[0])
    return await _first_connected(addresses, connect)


async def _first_connected(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[AnyConnection]]
) -> AnyConnection:
    """Happy Eyeballs (RFC 8305): an address that does not answer costs a quarter of a second, not the deadline."""
    waiting = list(addresses)
    running: set[asyncio.Future[AnyConnection]] = set()
    finished: list[asyncio.Future[AnyConnection]] = []
    winner: AnyConnection | None = None
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
        for result in await asyncio.gather(*finished, *running, return_exceptions=True):
            if not isinstance(result, BaseException) and result is not winner:
                await result.aclose()
