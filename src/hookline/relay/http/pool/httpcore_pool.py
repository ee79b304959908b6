"""httpcore's connection pool behind httpx's interface, with the relay's network rules.

`--transport httpx` uses this pool. It is much slower than the relay's own client, but it is independent code, so the
two can be compared.

`httpcore.AsyncConnectionPool` alone fails these cases of the conformance suite, and each part of the pool exists
because of one of them:

- ``test_misbehaviour``, "a second answer behind the first" and the other cases with bytes after a response: h11 keeps
  the bytes and takes them for the response to the next request. `GuardedStream` reports such a connection as
  readable, so the pool closes it.
- ``test_misbehaviour``, "a header without a colon" and the other cases with a header that h11 rejects although the
  status is clear: the transport returns the head that `ResponseReader` read.
- ``test_a_given_up_handshake_is_closed``: a cancelled TLS handshake leaves its socket open. `GuardedStream` closes
  it.
- ``test_close_waits_for_posts``: `aclose` of the pool cuts requests that are in flight. The transport closes the pool
  after the last one.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

import httpcore
import httpx

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import ShownCertificate
from hookline.relay.http.client import MAX_IDLE_SECONDS
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.pool.guarded_stream import PoolExchange, current_exchange
from hookline.relay.http.pool.httpcore_backend import GuardedBackend
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.resolver import Resolve

# The request's extension for its deadline, in seconds on the loop's clock.
DUE: Final = "hookline.due"


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
        network_backend=GuardedBackend(rules, resolve, proxy, limits, shown),
    )
    return _PoolTransport(pool)


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
        exchange = PoolExchange(request.extensions.get(DUE, inf))
        current_exchange.set(exchange)
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

    async def _send(self, request: httpx.Request, exchange: PoolExchange) -> httpcore.Response:
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
