"""HTTP/1.1 over TLS, one POST at a time. The only module that knows httpx and httpcore.

The seam is httpx's own: a transport is an `httpx.AsyncBaseTransport` and raises httpx's exceptions. `open_transport`
makes one on httpcore's connections; `Poster` makes one POST over any of them and turns everything that can
happen into a `Result`. No client in between: it would follow proxies, cookies and redirects that are not wanted.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from hookline.errors import HooklineError
from hookline.relay.delivery.connecting import Resolve, connect_checked, system_addresses
from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.outcome import Answer, Failure, FailureKind, Fault, Result
from hookline.relay.delivery.pool import Pool
from hookline.relay.delivery.retry_after import parse_retry_after
from hookline.relay.delivery.tls import describe_tls_error
from hookline.relay.delivery.wording import as_fault, one_line
from hookline.relay.network import AddressRefused, NetworkRules

LARGEST_BODY = 16 * 1024
# Shorter than the 5 s after which a Node.js server hangs up: a request sent into a closing connection is lost.
_IDLE_SECONDS = 4.0

OpenTransport = Callable[[NetworkRules, ssl.SSLContext, int], httpx.AsyncBaseTransport]


def open_transport(
    rules: NetworkRules, ssl_context: ssl.SSLContext, connections: int, resolve: Resolve = system_addresses
) -> httpx.AsyncBaseTransport:
    """A pool of at most `connections`, each to an address that `rules` admit; the certificate is checked by name.

    Raises AddressRefused out of `handle_async_request`, besides httpx's exceptions.
    """
    return _PooledTransport(ssl_context, connections, _GuardedBackend(rules, resolve))


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Stands where httpcore would look a name up and connect to whatever comes back."""

    def __init__(self, rules: NetworkRules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)

        try:
            stream = await connect_checked(host, port, rules=self._rules, resolve=self._resolve, connect=connect)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return _ClosingStream(stream)


class _ClosingStream(httpcore.AsyncNetworkStream):
    """Closes the connection when its handshake is cancelled: httpcore only does so when it fails."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
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
        # A TLS error in mid-stream passes through httpcore as it is.
        raise httpx.ReadError(str(error)) from error


class _PooledTransport(httpx.AsyncBaseTransport):
    """httpcore's connections in a pool of ours. For each origin a pool of its own: a webhook has just one."""

    def __init__(self, ssl_context: ssl.SSLContext, limit: int, backend: httpcore.AsyncNetworkBackend) -> None:
        self._ssl_context = ssl_context
        self._limit = limit
        self._backend = backend
        self._pools: dict[tuple[bytes, bytes, int], Pool[httpcore.AsyncHTTPConnection]] = {}

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
                answer = await connection.handle_async_request(wired)
            except BaseException:
                await pool.release(connection)
                raise
        stream = _PooledStream(answer, pool, connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, origin: httpcore.Origin) -> Pool[httpcore.AsyncHTTPConnection]:
        key = (origin.scheme, origin.host, origin.port)
        if key not in self._pools:
            self._pools[key] = Pool(lambda: self._connection(origin), self._limit)
        return self._pools[key]

    def _connection(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            origin=origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )


class _PooledStream(httpx.AsyncByteStream):
    """The body of an answer; closing it gives the connection back, once."""

    def __init__(
        self,
        answer: httpcore.Response,
        pool: Pool[httpcore.AsyncHTTPConnection],
        connection: httpcore.AsyncHTTPConnection,
    ) -> None:
        self._answer = answer
        self._pool = pool
        self._connection: httpcore.AsyncHTTPConnection | None = connection

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


class Poster:
    """Posts to one URL over one transport, which it owns. `clock` gives Unix time in seconds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, url: str, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._clock = clock
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise HooklineError(f"not a URL: {error}", hint="correct url in the webhook file and apply it") from error
        port = 443 if self._url.port is None else self._url.port
        if self._url.scheme != "https" or not self._url.host or not 0 < port < 65536:
            raise HooklineError(
                f"not an https URL: {url!r:.100}", hint="correct url in the webhook file and apply it"
            )

    async def post(self, headers: Sequence[Header], body: bytes, *, deadline: float) -> Result:
        """Make one POST; `deadline` seconds from now everything is over. Raises nothing but CancelledError.

        An answer counts once its head is complete. Its body is read only so that the connection can be used again:
        a long or slow one costs the connection, not the answer.
        """
        answer: Answer | None = None
        try:
            async with asyncio.timeout(deadline):
                request = httpx.Request("POST", self._url, headers=list(headers), content=body)
                response = await self._transport.handle_async_request(request)
                try:
                    answer = Answer(response.status_code, self._retry_after(response))
                    await _drain(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            return answer or Failure(FailureKind.TIMEOUT, f"no complete answer head within {deadline:g} s")
        except AddressRefused as refused:
            return as_fault(refused)
        except httpx.TransportError as error:
            return answer or _describe(error)
        except Exception as error:  # the port promises that nothing a network or a library does gets out of here
            return answer or Failure(FailureKind.NETWORK, one_line(f"unexpected {type(error).__name__}: {error}"))
        return answer

    async def aclose(self) -> None:
        await self._transport.aclose()

    def _retry_after(self, response: httpx.Response) -> float | None:
        if response.is_success:
            return None
        values = response.headers.get_list("retry-after")
        return parse_retry_after(values[0], self._clock()) if values else None


async def _drain(response: httpx.Response) -> None:
    declared = response.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 9 or int(declared) > LARGEST_BODY):
        return
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    length = 0
    async for part in stream:
        length += len(part)
        if length > LARGEST_BODY:
            return


def _describe(error: httpx.TransportError) -> Failure | Fault:
    causes = list(_causes(error))
    if tls := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        return Failure(FailureKind.TLS, one_line(describe_tls_error(tls)))
    match error:
        case httpx.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return Fault(one_line(f"the request cannot be sent: {error}"))
        case httpx.RemoteProtocolError():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP answer: {error}"))
        case _:
            system = next(filter(None, (_system_reason(cause) for cause in reversed(causes))), None)
            return Failure(FailureKind.NETWORK, one_line(system or str(error) or "the connection broke"))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _system_reason(error: BaseException) -> str | None:
    """The operating system's words: ``connection refused``. asyncio puts its own text in place of strerror."""
    match error:
        case socket.gaierror():
            return f"the name does not resolve: {error.strerror}".lower()
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            return None
