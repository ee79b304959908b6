"""httpcore's connections below httpx's interface, with our network rules. The only module that knows httpcore.

What ``--transport httpx`` posts over: slower than the engine by far, and written by others, so that one can be held
against the other.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Final

import httpcore
import httpx

from hookline.relay.delivery.answer import AnswerReader
from hookline.relay.delivery.answer_head import Head, NotHttp
from hookline.relay.delivery.connecting import connect_checked
from hookline.relay.delivery.describing import broken
from hookline.relay.delivery.pool import Pool
from hookline.relay.delivery.proxy import Proxy, ProxyFailed, Tunnel, connect_request
from hookline.relay.delivery.resolving import Resolve, system_addresses
from hookline.relay.delivery.shown import refusal
from hookline.relay.delivery.target import server_name
from hookline.relay.delivery.tunnelling import blaming_the_proxy, dialling
from hookline.relay.network import NetworkRules

# Shorter than the 5 s after which a Node.js server hangs up: a request sent into a closing connection is lost.
_IDLE_SECONDS = 4.0
# A request's extension: when, on the loop's clock, it is given up.
DUE: Final = "hookline.due"


def open_httpcore(
    rules: NetworkRules,
    ssl_context: ssl.SSLContext,
    connections: int,
    resolve: Resolve = system_addresses,
    proxy: Proxy | None = None,
) -> httpx.AsyncBaseTransport:
    """A pool of at most `connections`, each to an address that `rules` admit; the certificate is checked by name.

    Raises AddressRefused out of `handle_async_request`, besides httpx's exceptions.
    """
    return _PooledTransport(
        lambda origin: _Connection(origin, ssl_context, rules, resolve, proxy),
        connections,
    )


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Stands where httpcore would look a name up and connect to whatever comes back."""

    def __init__(self, rules: NetworkRules, resolve: Resolve, watch: _Watch, proxy: Proxy | None) -> None:
        self._rules = rules
        self._resolve = resolve
        self._watch = watch
        self._proxy = proxy
        self._network = httpcore.AnyIOBackend()
        self.due = inf  # of the request that is about to be sent

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        proxy = self._proxy if self._proxy is not None and self._proxy.stands_before(host, port) else None

        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            if proxy is not None:
                stream = await self._tunnel(proxy, address, port)
            else:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            again = partial(dialling(proxy, host, port), address, port, self.due)
            return _ClosingStream(stream, self._watch, host, again)

        try:
            return await connect_checked(host, port, rules=self._rules, resolve=self._resolve, connect=connect)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _tunnel(self, proxy: Proxy, address: str, port: int) -> httpcore.AsyncNetworkStream:
        async with blaming_the_proxy(self.due):
            try:
                stream = await self._network.connect_tcp(proxy.host, proxy.port)
            except httpcore.ConnectError as error:
                raise ProxyFailed(f"no connection to the proxy: {error}") from error
            try:
                await stream.write(connect_request(address, port, proxy.authorization))
                tunnel = Tunnel()
                while not tunnel.feed(await stream.read(4096)):
                    pass
            except (httpcore.ReadError, httpcore.WriteError) as error:
                await stream.aclose()
                raise ProxyFailed(f"the proxy broke the connection: {broken(error)}") from error
            except BaseException:
                await stream.aclose()
                raise
            return stream


class _Watch:
    """Reads along: whether an answer ended where it said it would, and nothing came behind it.

    h11 keeps what came behind, and would take it for the answer to the next request.
    """

    def __init__(self) -> None:
        self._reader = AnswerReader.spent()
        self._lost = False

    @property
    def clean(self) -> bool:
        return self._reader.clean and not self._lost

    @property
    def head(self) -> Head | None:
        """The final head, once it is there."""
        return self._reader.head

    def begin(self) -> None:
        """A request is about to go out."""
        self._reader = AnswerReader()

    def see(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except NotHttp:  # httpcore will find that out, or put up with it; this connection is not used again
            self._lost = True


class _ClosingStream(httpcore.AsyncNetworkStream):
    """Closes the connection when its handshake is cancelled: httpcore only does so when it fails.

    `again` connects to the same address once more, to say more of a certificate than that it was refused.
    """

    def __init__(
        self,
        stream: httpcore.AsyncNetworkStream,
        watch: _Watch,
        host: str,
        again: Callable[[], Awaitable[socket.socket]],
    ) -> None:
        self._stream = stream
        self._watch = watch
        self._host, self._again = host, again

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            encrypted = await self._stream.start_tls(ssl_context, server_name(server_hostname or self._host), timeout)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise httpcore.ConnectError(str(error)) from await refusal(error.__cause__, self._host, self._again)
            raise
        return _ClosingStream(encrypted, self._watch, self._host, self._again)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        self._watch.see(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Connection:
    """A connection of httpcore's that is not used again after an answer which did not end cleanly."""

    def __init__(
        self,
        origin: httpcore.Origin,
        ssl_context: ssl.SSLContext,
        rules: NetworkRules,
        resolve: Resolve,
        proxy: Proxy | None,
    ) -> None:
        self._watch = _Watch()
        self._backend = _GuardedBackend(rules, resolve, self._watch, proxy)
        self._inner = httpcore.AsyncHTTPConnection(
            origin=origin,
            ssl_context=ssl_context,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )

    async def send(self, request: httpcore.Request) -> httpcore.Response:
        self._watch.begin()
        self._backend.due = request.extensions.get(DUE, inf)
        try:
            return await self._inner.handle_async_request(request)
        except httpcore.RemoteProtocolError:
            # h11 refuses heads that say plainly what became of the request, and the connection is closed.
            if self._watch.head is None:
                raise
            return httpcore.Response(self._watch.head.status, headers=self._watch.head.fields())

    def is_available(self) -> bool:
        return self._inner.is_available() and self._watch.clean

    def has_expired(self) -> bool:
        return self._inner.has_expired()

    async def aclose(self) -> None:
        await self._inner.aclose()


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
        # A TLS error in mid-stream passes through httpcore as it is.
        raise httpx.ReadError(str(error)) from error


class _PooledTransport(httpx.AsyncBaseTransport):
    """httpcore's connections in a pool of ours. For each origin a pool of its own: a webhook has just one."""

    def __init__(self, make: Callable[[httpcore.Origin], _Connection], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._pools: dict[tuple[bytes, bytes, int], Pool[_Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        wired = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        pool = self._pool(wired.url.origin)
        with _httpx_exceptions():
            connection = await pool.acquire()
            try:
                answer = await connection.send(wired)
            except BaseException:
                await pool.release(connection)
                raise
        stream = _PooledStream(answer, pool, connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, origin: httpcore.Origin) -> Pool[_Connection]:
        key = (origin.scheme, origin.host, origin.port)
        if key not in self._pools:
            self._pools[key] = Pool(lambda: self._make(origin), self._limit)
        return self._pools[key]


class _PooledStream(httpx.AsyncByteStream):
    """The body of an answer; closing it gives the connection back, once."""

    def __init__(
        self,
        answer: httpcore.Response,
        pool: Pool[_Connection],
        connection: _Connection,
    ) -> None:
        self._answer = answer
        self._pool = pool
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_exceptions():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with _httpx_exceptions():
            try:
                await self._answer.aclose()
            finally:
                await self._pool.release(connection)
