"""httpcore's connection pool behind httpx's interface, with the relay's network rules.

No other module imports httpcore. `--transport httpx` uses this pool. It is much slower than the relay's own client,
but it is independent code, so the two can be compared.

`httpcore.AsyncConnectionPool` alone fails these cases of the conformance suite, and each part of this module exists
because of one of them:

- ``test_misbehaviour``, "a second answer behind the first" and the other cases with bytes after a response: h11 keeps
  the bytes and takes them for the response to the next request. `_GuardedStream` reports such a connection as
  readable, so the pool closes it.
- ``test_misbehaviour``, "a header without a colon" and the other cases with a header that h11 rejects although the
  status is clear: the transport returns the head that `ResponseReader` read.
- ``test_a_given_up_handshake_is_closed``: a cancelled TLS handshake leaves its socket open. `_GuardedStream` closes
  it.
- ``test_close_waits_for_posts``: `aclose` of the pool cuts requests that are in flight. The transport closes the pool
  after the last one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from math import inf
from socket import socket
from typing import Any, Final

import httpcore
import httpx

from hookline.descriptors import lacks_descriptor
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import ShownCertificate, refused_certificate
from hookline.relay.http.client import MAX_IDLE_SECONDS
from hookline.relay.http.connector import AddressMemory, connect_checked, encrypted
from hookline.relay.http.error_mapping import error_text
from hookline.relay.http.limits.connection_budget import ConnectionShare
from hookline.relay.http.limits.handshake_threads import Handshakes
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.proxy import Proxy, ProxyFailed, ProxyResponseReader, connect_request
from hookline.relay.http.proxy_tunnel import connection_opener, proxy_errors
from hookline.relay.http.request import server_name
from hookline.relay.http.resolver import Resolve
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import ResponseReader

# The request's extension for its deadline, in seconds on the loop's clock.
DUE: Final = "hookline.due"


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request and its response. `response` reads the same bytes as h11."""

    due: float
    response: ResponseReader = field(default_factory=ResponseReader)


# httpcore passes neither the deadline nor the response to its network backend. The backend runs in the caller's task.
_exchange: ContextVar[_Exchange] = ContextVar("exchange")


def open_httpcore(
    rules: NetworkRules,
    ssl_context: ssl.SSLContext,
    connections: int,
    resolve: Resolve,
    *,
    proxy: Proxy | None,
    limits: SharedLimits,
    shown: ShownCertificate,
) -> httpx.AsyncBaseTransport:
    """A transport over httpcore's pool.

    Args:
        rules: Which addresses may be connected to. Requests raise AddressRefused, besides httpx's exceptions.
        ssl_context: TLS for every connection.
        connections: The largest number of connections.
        resolve: The resolver.
        proxy: The relay's proxy. It is used for the hosts to which it applies.
        limits: Those that the endpoints of one relay share.
        shown: Follows the handshakes.
    """
    pool = httpcore.AsyncConnectionPool(
        ssl_context=ssl_context,
        max_connections=connections,
        keepalive_expiry=MAX_IDLE_SECONDS,
        network_backend=_GuardedBackend(rules, resolve, proxy, limits, shown),
    )
    return _PoolTransport(pool)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves and checks addresses by the relay's rules, and connects to them directly or through the proxy."""

    def __init__(
        self,
        rules: NetworkRules,
        resolve: Resolve,
        proxy: Proxy | None,
        limits: SharedLimits,
        shown: ShownCertificate,
    ) -> None:
        self._shown = shown
        self._share = ConnectionShare(limits.connections)
        self._handshakes = Handshakes(limits.handshakes)
        self._memory = AddressMemory()
        self._rules = rules
        self._resolve = resolve
        self._proxy = proxy
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises AddressRefused, ProxyRefused and httpcore.ConnectError."""
        while not self._share.try_take():
            await self._share.wait()
        try:
            return await self._connect(host, port, timeout, local_address, socket_options)
        except BaseException:
            self._share.give_back()
            raise

    async def _connect(
        self,
        host: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        proxy = self._proxy if self._proxy is not None and self._proxy.applies_to(host, port) else None
        due = _exchange.get().due

        async def connect(address: str) -> _GuardedStream:
            if proxy is not None:
                stream = await self._tunnel(proxy, address, port, due)
            else:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            reconnect = partial(connection_opener(proxy, host, port), address, port, due)
            return _GuardedStream(
                stream, _Peer(host, address, self._memory, reconnect, self._handshakes, self._shown)
            )

        while True:
            try:
                found = await connect_checked(
                    host, port, rules=self._rules, resolve=self._resolve, connect=connect, memory=self._memory
                )
            except OSError as error:
                if not lacks_descriptor(error):
                    raise httpcore.ConnectError(str(error)) from error
                await self._share.wait_for_descriptors()
            else:
                found.on_closed = self._share.give_back
                return found

    async def _tunnel(self, proxy: Proxy, address: str, port: int, due: float) -> httpcore.AsyncNetworkStream:
        async with proxy_errors(due):
            try:
                stream = await self._network.connect_tcp(proxy.host, proxy.port)
            except httpcore.ConnectError as error:
                raise ProxyFailed(f"no connection to the proxy: {error}") from error
            try:
                await stream.write(connect_request(address, port, proxy.authorization))
                response = ProxyResponseReader()
                while not response.feed(await stream.read(4096)):
                    pass
            except (httpcore.ReadError, httpcore.WriteError) as error:
                await stream.aclose()
                raise ProxyFailed(f"the proxy broke the connection: {error_text(error)}") from error
            except BaseException:
                await stream.aclose()
                raise
            return stream


@dataclass(frozen=True, slots=True)
class _Peer:
    """The other end of a connection. `reconnect` connects to the same address, to read a refused certificate."""

    host: str
    address: str
    memory: AddressMemory
    reconnect: Callable[[], Awaitable[socket]]
    handshakes: Handshakes
    shown: ShownCertificate

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """Remember the address if the enclosed exchange fails, or is cancelled because it takes too long."""
        try:
            yield
        except BaseException as error:
            self.memory.note_failure(self.address, error)
            raise


class _GuardedStream(httpcore.AsyncNetworkStream):
    """A connection that the pool uses again only after a response that ended cleanly."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, peer: _Peer) -> None:
        self.on_closed: Callable[[], None] | None = None
        self._stream = stream
        self._peer = peer
        self._response: ResponseReader | None = ResponseReader.unused()  # None: the bytes were not HTTP

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Raises CertificateRefused and httpcore.ConnectError."""
        peer = self._peer
        try:
            with peer.noting_failures():
                stream = await self._stream.start_tls(ssl_context, server_name(server_hostname or peer.host), timeout)
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                # Not as the cause of a ConnectError: the pool raises it `from None`.
                refused = await refused_certificate(error.__cause__, peer.host, peer.reconnect, peer.handshakes)
                peer.shown.observe_failure(refused)
                raise refused from error
            raise
        peer.shown.observe(encrypted(stream.get_extra_info("ssl_object")))
        guarded = _GuardedStream(stream, peer)
        guarded.on_closed, self.on_closed = self.on_closed, None
        return guarded

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._peer.noting_failures():
            data = await self._stream.read(max_bytes, timeout)
            while data and self._response is not None and self._response.is_empty:
                if rest := self._response.skip_line_end(data):
                    data = rest
                    break
                data = await self._stream.read(max_bytes, timeout)
            if not data and self._response is not None and self._response.is_empty:
                self._peer.memory.note_failure(self._peer.address)
        if self._response is not None:
            try:
                self._response.feed(data)
            except NotHttp:  # httpcore finds the error, too, or accepts it; the connection is not used again
                self._response = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._response = _exchange.get().response
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        on_closed, self.on_closed = self.on_closed, None
        if on_closed is not None:
            on_closed()
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and not (self._response is not None and self._response.clean):
            return True  # the pool closes an idle connection that is readable
        return self._stream.get_extra_info(info)


_FROM_HTTPCORE: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


@contextmanager
def _httpx_exceptions() -> Iterator[None]:
    try:
        yield
    except tuple(_FROM_HTTPCORE) as error:
        raise _FROM_HTTPCORE[type(error)](str(error)) from error
    except OSError as error:
        # httpcore does not wrap TLS errors that occur after the handshake.
        raise httpx.ReadError(str(error)) from error


class _PoolTransport(httpx.AsyncBaseTransport):
    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool
        self._in_flight = 0
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(request.extensions.get(DUE, inf))
        _exchange.set(exchange)
        self._in_flight += 1
        try:
            with _httpx_exceptions():
                response = await self._send(request, exchange)
        except BaseException:
            await self._finished()
            raise
        stream = _PoolStream(response, self._finished)
        return httpx.Response(
            response.status, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def _send(self, request: httpx.Request, exchange: _Exchange) -> httpcore.Response:
        url = request.url
        converted = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            return await self._pool.handle_async_request(converted)
        except httpcore.RemoteProtocolError:
            # h11 rejects heads whose status is clear. httpcore has closed the connection.
            head = exchange.response.head
            if head is None:
                raise
            return httpcore.Response(head.status, headers=head.headers())

    async def aclose(self) -> None:
        """Close the idle connections now, and each of the others when its request has ended."""
        self._closed = True
        for connection in self._pool.connections:
            if connection.is_idle():
                await connection.aclose()
        if not self._in_flight:
            await self._pool.aclose()

    async def _finished(self) -> None:
        self._in_flight -= 1
        if self._closed:
            await self.aclose()


class _PoolStream(httpx.AsyncByteStream):
    """The body of a response. Closing it returns the connection to the pool, once."""

    def __init__(self, response: httpcore.Response, finished: Callable[[], Awaitable[None]]) -> None:
        self._response = response
        self._finished: Callable[[], Awaitable[None]] | None = finished

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_exceptions():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        finished, self._finished = self._finished, None
        if finished is None:
            return
        with _httpx_exceptions():
            try:
                await self._response.aclose()
            finally:
                await finished()
