"""The transport of `--transport httpx`: httpcore's connection pool, on which httpx is built.

It is much slower than the relay's own client, but it is independent code, so the two can be compared. No httpx
client is involved, because it would follow proxies, cookies and redirects.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpcore

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.client import MAX_IDLE_SECONDS
from hookline.relay.http.error_mapping import error_text, map_error
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response, one_line
from hookline.relay.http.httpcore_backend import GuardedBackend, PoolExchange, current_exchange
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Header, Target, attempt_headers
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import response_of
from hookline.relay.http.response_reader import MAX_RESPONSE_BODY_BYTES
from hookline.relay.http.transport import Transport


class HttpxTransport:
    """Implements `Transport` over httpcore's pool, which it owns. `clock` returns Unix time in seconds."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, target: Target, clock: Callable[[], float]) -> None:
        self._pool, self._target, self._clock = pool, target, clock
        self._url = httpcore.URL(scheme="https", host=target.host, port=target.port, target=target.path)
        self._in_flight = 0
        self._closed = False

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        framing = [(b"host", self._target.netloc), (b"content-length", b"%d" % len(attempt.body))]
        sent = [*framing, *headers, *attempt_headers(attempt, signature)]
        result: Response | None = None
        self._in_flight += 1
        try:
            async with asyncio.timeout(deadline):
                response = await self._send(sent, attempt.body, deadline)
                try:
                    result = response_of(response.status, _header(response, b"retry-after"), self._clock)
                    await _drain(response)
                finally:
                    await response.aclose()
        except Exception as error:  # the port promises a result for every error of a network or a library
            return result or _map_httpcore_error(error, deadline)
        finally:
            self._in_flight -= 1
            if self._closed:
                with suppress(Exception):
                    await self.aclose()
        return result

    async def _send(self, headers: list[Header], body: bytes, deadline: float) -> httpcore.Response:
        exchange = PoolExchange(asyncio.get_running_loop().time() + deadline)
        current_exchange.set(exchange)
        try:
            request = httpcore.Request("POST", self._url, headers=headers, content=body)
            return await self._pool.handle_async_request(request)
        except httpcore.RemoteProtocolError:
            # h11 rejects heads whose status is clear. httpcore has closed the connection.
            if (head := exchange.response.head) is None:
                raise
            return httpcore.Response(head.status, headers=head.headers())

    async def aclose(self) -> None:
        self._closed = True
        for connection in self._pool.connections:
            if connection.is_idle():
                await connection.aclose()
        if not self._in_flight:
            await self._pool.aclose()


def _header(response: httpcore.Response, wanted: bytes) -> bytes | None:
    return next((value for name, value in response.headers if name.lower() == wanted), None)


async def _drain(response: httpcore.Response) -> None:
    declared = _header(response, b"content-length") or b""
    if declared.isdigit() and (len(declared) > 9 or int(declared) > MAX_RESPONSE_BODY_BYTES):
        return
    length = 0
    async for part in response.aiter_stream():
        length += len(part)
        if length > MAX_RESPONSE_BODY_BYTES:
            return


def _map_httpcore_error(error: Exception, deadline: float) -> Failure | LocalFault:
    """Like `map_error`, and also for httpcore's exceptions. A TLS error below them is more precise than they are."""
    result = map_error(error, deadline)
    if isinstance(result, Failure) and result.kind is FailureKind.TLS:
        return result
    match error:
        case httpcore.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out")
        case httpcore.LocalProtocolError() | httpcore.UnsupportedProtocol():
            return LocalFault(one_line(f"the request cannot be sent: {error}"))
        case httpcore.RemoteProtocolError():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP response: {error}"))
        case httpcore.NetworkError():
            return Failure(FailureKind.NETWORK, error_text(error))
        case _:
            return result


def open_httpx(
    target: Target,
    rules: NetworkRules,
    context: ssl.SSLContext,
    limit: int,
    clock: Callable[[], float],
    *,
    resolve: Resolve = system_addresses,
    proxy: Proxy | None = None,
) -> Transport:
    """Opens the transport. Its arguments are those of `transport.open_client`."""
    pool = httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=limit,
        keepalive_expiry=MAX_IDLE_SECONDS,
        network_backend=GuardedBackend(rules, resolve, proxy),
    )
    return HttpxTransport(pool, target, clock)
