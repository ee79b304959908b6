"""From a name to a connection. Every address is checked, and the name is not looked up a second time."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from hookline.descriptors import lacks_descriptor
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.resolver import Resolve, system_addresses

# RFC 8305 §5: the time after which the next address is tried beside an address that does not answer.
STAGGER_SECONDS: Final = 0.25

# The time for which an address that failed is used only if no other one is left, and the number of such addresses.
FAILED_ADDRESS_SECONDS: Final = 300.0
MAX_FAILED_ADDRESSES: Final = 64

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


class AddressMemory:
    """The addresses of a name that have just failed. A name often has a second address that works."""

    def __init__(self) -> None:
        self._failed: dict[str, float] = {}

    def note_failure(self, address: str, error: BaseException | None = None) -> None:
        """An attempt at this address failed, for example with `error`. A lack of descriptors is not its fault."""
        if error is not None:
            with suppress(AttributeError):
                error.address = address  # type: ignore[attr-defined]
            if lacks_descriptor(error):
                return
        self._failed.pop(address, None)
        if len(self._failed) >= MAX_FAILED_ADDRESSES:
            del self._failed[next(iter(self._failed))]
        self._failed[address] = asyncio.get_running_loop().time()

    def note_success(self, address: str) -> None:
        self._failed.pop(address, None)

    def ordered(self, addresses: Iterable[str]) -> list[str]:
        """Each address once: those that have not just failed, then the others, the longest failed first."""
        since = asyncio.get_running_loop().time() - FAILED_ADDRESS_SECONDS
        return sorted(dict.fromkeys(addresses), key=lambda one: max(since, self._failed.get(one, since)))


def failed_address(error: BaseException | None) -> str | None:
    """The address at which an attempt failed with this error, or with a cause of it."""
    while error is not None:
        if (address := getattr(error, "address", None)) is not None:
            return str(address)
        error = error.__cause__ or error.__context__
    return None


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
    memory: AddressMemory = field(default_factory=AddressMemory)

    async def connect(self, due: float) -> RawConnection:
        """A TCP connection to an address that the rules admit. `due`: the deadline, in seconds on the loop's clock.

        The caller enforces the deadline. Raises AddressRefused, ProxyRefused and OSError.
        """

        async def connect_to(address: str) -> RawConnection:
            return RawConnection(await self.open_connection(address, self.port, due), address)

        raw = await connect_checked(
            self.host,
            self.port,
            rules=self.rules,
            resolve=self.resolve,
            connect=connect_to,
            memory=self.memory,
            observe=self.observe,
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
    memory: AddressMemory,
    observe: Observe = ignore,
) -> AnyConnection:
    """Resolve `host`, check every address, and return the first connection to one of them.

    Addresses that have just failed are tried last.

    Args:
        host: The endpoint's host.
        port: Its port.
        rules: Which addresses may be connected to.
        resolve: The resolver.
        connect: Connects to one IP address.
        memory: The addresses that have just failed; it learns of more.
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
        try:
            return await connect(addresses[0])
        except OSError as error:
            memory.note_failure(addresses[0], error)
            raise
    return await _first_connected(memory.ordered(addresses), connect, memory)


async def _first_connected(
    addresses: Sequence[str], connect: Callable[[str], Awaitable[AnyConnection]], memory: AddressMemory
) -> AnyConnection:
    """Happy Eyeballs (RFC 8305): an address that does not answer costs a quarter of a second, not the deadline."""
    waiting = list(addresses)
    tried: dict[asyncio.Future[AnyConnection], str] = {}
    running: set[asyncio.Future[AnyConnection]] = set()
    finished: list[asyncio.Future[AnyConnection]] = []
    winner: AnyConnection | None = None
    try:
        while waiting or running:
            if waiting:
                attempt = asyncio.ensure_future(connect(waiting[0]))
                tried[attempt] = waiting.pop(0)
                running.add(attempt)
            limit = STAGGER_SECONDS if waiting else None
            done, running = await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finished += done
            for one in done:
                if (error := one.exception()) is None:
                    winner = one.result()
                    for earlier in tried.keys() - done:
                        if not earlier.done():  # it began earlier, and does not answer
                            memory.note_failure(tried[earlier])
                    return winner
                memory.note_failure(tried[one], error)
        return finished[-1].result()
    finally:
        for one in running:
            one.cancel()
        for result in await asyncio.gather(*finished, *running, return_exceptions=True):
            if not isinstance(result, BaseException) and result is not winner:
                await result.aclose()
