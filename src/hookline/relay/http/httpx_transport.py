"""httpx's side: a poster over any `httpx.AsyncBaseTransport`, and the engine as one.

No httpx client in between: it would follow proxies, cookies and redirects that are not wanted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from math import inf
from socket import socket
from typing import Any, Final

import httpcore
import httpx

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import certificate_refusal
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connector import Connector, connect_checked
from hookline.relay.http.error_mapping import broken, describe
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response, one_line
from hookline.relay.http.proxy import Proxy, ProxyFailed, Tunnel, connect_request
from hookline.relay.http.proxy_tunnel import connecting_through, naming_proxy_errors
from hookline.relay.http.request import Header, Target, UnfitHeader, attempt_headers, request_lines, server_name
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import MAX_RESPONSE_BODY_BYTES, ResponseReader
from hookline.relay.http.retry_after import parse_retry_after
from hookline.relay.http.transport import Transport

# httpcore's connection pool below httpx's interface, with the relay's network rules. The only module that imports
# httpcore.
#
# `--transport httpx` uses it. It is much slower than the engine. Other people wrote it, so the two can be compared.
#
# `httpcore.AsyncConnectionPool` alone fails these cases of the conformance suite. Each piece of code below is here
# for one of them:
#
# - ``test_misbehaviour``, "a second answer behind the first" and the other cases with bytes behind an answer: h11
#   keeps the bytes and takes them for the answer to the next request. `_GuardedStream` reports such a connection as
#   readable, so the pool closes it.
# - ``test_misbehaviour``, "a header without a colon" and the other cases with a header that h11 rejects although the
#   status is clear: the transport returns the head that `ResponseReader` read.
# - ``test_a_given_up_handshake_is_closed``: a cancelled TLS handshake leaves its socket open. `_GuardedStream` closes
#   it.
# - ``test_close_waits_for_posts``: `aclose` of the pool cuts requests that are in flight. The transport closes the
#   pool after the last one. Shorter than the 5 s after which a Node.js server closes an idle connection: a request on
#   a closing connection is lost.
_IDLE_SECONDS: Final = 4.0
# A request's extension: its deadline, in seconds on the loop's clock.
DUE: Final = "hookline.due"


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request and its answer. `answer` reads the same bytes as h11."""

    due: float
    answer: ResponseReader = field(default_factory=ResponseReader)


# httpcore passes neither the deadline nor the answer to its network backend. It runs in the caller's task.
_exchange: ContextVar[_Exchange] = ContextVar("exchange")


def open_httpcore(
    rules: NetworkRules,
    ssl_context: ssl.SSLContext,
    connections: int,
    resolve: Resolve = system_addresses,
    proxy: Proxy | None = None,
) -> httpx.AsyncBaseTransport:
    """A transport with at most `connections` connections, each to an address that `rules` admit.

    `handle_async_request` raises AddressRefused, besides httpx's exceptions.
    """
    pool = httpcore.AsyncConnectionPool(
        ssl_context=ssl_context,
        max_connections=connections,
        keepalive_expiry=_IDLE_SECONDS,
        network_backend=_GuardedBackend(rules, resolve, proxy),
    )
    return _PoolTransport(pool)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves and checks addresses by the relay's rules, and connects to them directly or through the proxy."""

    def __init__(self, rules: NetworkRules, resolve: Resolve, proxy: Proxy | None) -> None:
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
        proxy = self._proxy if self._proxy is not None and self._proxy.stands_before(host, port) else None
        due = _exchange.get().due

        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            if proxy is not None:
                stream = await self._tunnel(proxy, address, port, due)
            else:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            return _GuardedStream(stream, host, partial(connecting_through(proxy, host, port), address, port, due))

        try:
            return await connect_checked(host, port, rules=self._rules, resolve=self._resolve, connect=connect)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _tunnel(self, proxy: Proxy, address: str, port: int, due: float) -> httpcore.AsyncNetworkStream:
        async with naming_proxy_errors(due):
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


class _GuardedStream(httpcore.AsyncNetworkStream):
    """A connection that the pool uses again only after an answer that ended where it should.

    `reconnect` connects to the same address once more, to read a certificate that was refused.
    """

    def __init__(
        self, stream: httpcore.AsyncNetworkStream, host: str, reconnect: Callable[[], Awaitable[socket]]
    ) -> None:
        self._stream = stream
        self._host, self._reconnect = host, reconnect
        self._answer: ResponseReader | None = ResponseReader.spent()  # None: it was not HTTP

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Raises CertificateRefused and httpcore.ConnectError."""
        try:
            encrypted = await self._stream.start_tls(ssl_context, server_name(server_hostname or self._host), timeout)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                # Not as the cause of a ConnectError: the pool raises it `from None`.
                raise await certificate_refusal(error.__cause__, self._host, self._reconnect) from error
            raise
        return _GuardedStream(encrypted, self._host, self._reconnect)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        if self._answer is not None:
            try:
                self._answer.feed(data)
            except NotHttp:  # httpcore notices as well, or accepts it; the connection is not used again
                self._answer = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._answer = _exchange.get().answer
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and not (self._answer is not None and self._answer.clean):
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
        # httpcore does not wrap TLS errors behind the handshake.
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
                answer = await self._answer(request, exchange)
        except BaseException:
            await self._finished()
            raise
        stream = _PoolStream(answer, self._finished)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def _answer(self, request: httpx.Request, exchange: _Exchange) -> httpcore.Response:
        url = request.url
        wired = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            return await self._pool.handle_async_request(wired)
        except httpcore.RemoteProtocolError:
            # h11 rejects heads whose status is clear. httpcore has closed the connection.
            head = exchange.answer.head
            if head is None:
                raise
            return httpcore.Response(head.status, headers=head.fields())

    async def aclose(self) -> None:
        """Close the idle connections now, and each of the others when its request is over."""
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
    """The body of an answer. Closing it returns the connection to the pool, once."""

    def __init__(self, answer: httpcore.Response, finished: Callable[[], Awaitable[None]]) -> None:
        self._answer = answer
        self._finished: Callable[[], Awaitable[None]] | None = finished

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_exceptions():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        finished, self._finished = self._finished, None
        if finished is None:
            return
        with _httpx_exceptions():
            try:
                await self._answer.aclose()
            finally:
                await finished()


# For a request that brings no timeout, in seconds.
_NO_TIMEOUT: Final = 3600.0


class HttpxTransport:
    """Implements `poster.Transport` over one httpx transport, which it owns. `clock` gives Unix time in seconds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, target: Target, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._url = httpx.URL(target.url)
        self._clock = clock

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Make one POST; see the port."""
        answer: Response | None = None
        try:
            async with asyncio.timeout(deadline):
                sent = [*headers, *attempt_headers(attempt, signature)]
                due = {DUE: asyncio.get_running_loop().time() + deadline}
                request = httpx.Request("POST", self._url, headers=sent, content=attempt.body, extensions=due)
                response = await self._transport.handle_async_request(request)
                try:
                    answer = Response(response.status_code, self._retry_after(response))
                    await _drain(response)
                finally:
                    await response.aclose()
        except Exception as error:  # the port promises that nothing a network or a library does gets out of here
            return answer or _describe(error, deadline)
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
    if declared.isdecimal() and (len(declared) > 9 or int(declared) > MAX_RESPONSE_BODY_BYTES):
        return
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    length = 0
    async for part in stream:
        length += len(part)
        if length > MAX_RESPONSE_BODY_BYTES:
            return


def _describe(error: Exception, deadline: float) -> Failure | LocalFault:
    """As `describe` does, with httpx's own exceptions besides: what lies below them says more than they do."""
    below = describe(error, deadline)
    if not isinstance(error, httpx.TransportError) or (isinstance(below, Failure) and below.kind is FailureKind.TLS):
        return below
    match error:
        case httpx.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return LocalFault(one_line(f"the request cannot be sent: {error}"))
        case httpx.RemoteProtocolError():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP answer: {error}"))
        case _:
            return Failure(FailureKind.NETWORK, broken(error))


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
    """httpx's way: its requests, responses and exceptions over httpcore's connections."""
    return HttpxTransport(open_httpcore(rules, context, limit, resolve, proxy), target, clock)


class EngineTransport(httpx.AsyncBaseTransport):
    """The engine with httpx's interface, for POST requests over https.

    An answer comes with its body, if that is whole and of at most 16 KiB. Of any other body, reading gives what came
    of it, nothing where its length says that it is longer, and then raises httpx.ReadError. The longest of the
    request's timeouts is the deadline for all of it. Raises AddressRefused, besides httpx's exceptions.
    """

    def __init__(
        self,
        rules: NetworkRules,
        ssl_context: ssl.SSLContext,
        limit: int,
        resolve: Resolve = system_addresses,
        proxy: Proxy | None = None,
    ) -> None:
        self._rules, self._context, self._limit, self._resolve = rules, ssl_context, limit, resolve
        self._proxy = proxy
        self._engines: dict[tuple[str, int], HttpClient] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("only POST over https goes over this transport", request=request)
        body = await request.aread()
        own = [(name, value) for name, value in request.headers.raw if name.lower() not in _FRAMING]
        try:
            lines = request_lines(request.url.raw_path, request.headers["host"].encode("ascii"), own)
            sent = b"%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)
            answer = await self._engine(request.url).exchange(sent, _deadline(request), keep=True)
        except UnfitHeader as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        except NotHttp as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=request) from error
        return _response(answer)

    async def aclose(self) -> None:
        for engine in self._engines.values():
            await engine.aclose()

    def _engine(self, url: httpx.URL) -> HttpClient:
        host, port = origin = (url.raw_host.decode("ascii"), url.port or 443)
        if origin not in self._engines:
            dial = connecting_through(self._proxy, host, port)
            connector = Connector(host=host, port=port, rules=self._rules, resolve=self._resolve, dial=dial)
            self._engines[origin] = HttpClient(connector, self._context, self._limit)
        return self._engines[origin]


# The transport's own to write.
_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


def _deadline(request: httpx.Request) -> float:
    given = [seconds for seconds in request.extensions.get("timeout", {}).values() if seconds is not None]
    return max(given, default=_NO_TIMEOUT)


def _response(answer: ResponseReader) -> httpx.Response:
    head = answer.head
    assert head is not None
    return httpx.Response(head.status, headers=head.fields(), stream=_ReadBody(answer.body, whole=answer.complete))


class _ReadBody(httpx.AsyncByteStream):
    def __init__(self, body: bytes, *, whole: bool) -> None:
        self._body, self._whole = body, whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        if not self._whole:
            raise httpx.ReadError(f"the body is broken, or longer than {MAX_RESPONSE_BODY_BYTES // 1024} KiB")
