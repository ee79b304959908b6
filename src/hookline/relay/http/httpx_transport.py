"""httpx in both directions: a `Transport` over any httpx transport, and the relay's client as an httpx transport.

No httpx client is involved, because it would follow proxies, cookies and redirects.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import httpx

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connector import Connector
from hookline.relay.http.error_mapping import error_text, map_error
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response, one_line
from hookline.relay.http.httpcore_backend import DUE, open_httpcore
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.proxy_tunnel import connection_opener
from hookline.relay.http.request import Header, Target, UnfitHeader, attempt_headers, request_lines
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import NotHttp, parse_retry_after
from hookline.relay.http.response_reader import MAX_RESPONSE_BODY_BYTES, ResponseReader
from hookline.relay.http.transport import Transport

# The deadline of a request without a timeout.
_DEFAULT_DEADLINE_SECONDS: Final = 3600.0
# Headers that the client writes itself.
_FRAMING_HEADERS: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


class HttpxTransport:
    """Implements `Transport` over one httpx transport, which it owns. `clock` returns Unix time in seconds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, target: Target, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._url = httpx.URL(target.url)
        self._clock = clock

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Make one POST; see the port."""
        result: Response | None = None
        try:
            async with asyncio.timeout(deadline):
                all_headers = [*headers, *attempt_headers(attempt, signature)]
                due = {DUE: asyncio.get_running_loop().time() + deadline}
                request = httpx.Request("POST", self._url, headers=all_headers, content=attempt.body, extensions=due)
                response = await self._transport.handle_async_request(request)
                try:
                    result = Response(response.status_code, self._retry_after(response))
                    await _drain(response)
                finally:
                    await response.aclose()
        except Exception as error:  # the port promises a result for every error of a network or a library
            return result or _map_httpx_error(error, deadline)
        return result

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


def _map_httpx_error(error: Exception, deadline: float) -> Failure | LocalFault:
    """Like `map_error`, and also for httpx's exceptions. A TLS error below them is more precise than they are."""
    result = map_error(error, deadline)
    if not isinstance(error, httpx.TransportError) or (
        isinstance(result, Failure) and result.kind is FailureKind.TLS
    ):
        return result
    match error:
        case httpx.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return LocalFault(one_line(f"the request cannot be sent: {error}"))
        case httpx.RemoteProtocolError():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP response: {error}"))
        case _:
            return Failure(FailureKind.NETWORK, error_text(error))


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
    """The transport of `--transport httpx`: httpx's values and exceptions over httpcore's connections.

    Args: as for `transport.open_client`.
    """
    return HttpxTransport(open_httpcore(rules, context, limit, resolve, proxy), target, clock)


class HttpxAdapter(httpx.AsyncBaseTransport):
    """The relay's client with httpx's interface, for POST requests over https.

    A complete body of at most 16 KiB is returned whole. From any other body, the reader gets the part that arrived
    and then httpx.ReadError. The part is empty if the declared length is above the limit. The longest of the
    request's timeouts is the deadline for the whole exchange.

    Args:
        rules: Which addresses may be connected to. Requests raise AddressRefused, besides httpx's exceptions.
        ssl_context: TLS for every connection.
        limit: The largest number of connections to one host.
        resolve: The resolver.
        proxy: The relay's proxy. It is used for the hosts to which it applies.
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
        self._clients: dict[tuple[str, int], HttpClient] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST" or request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("this transport supports only POST over https", request=request)
        body = await request.aread()
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _FRAMING_HEADERS]
        try:
            lines = request_lines(request.url.raw_path, request.headers["host"].encode("ascii"), headers)
            data = b"%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)
            response = await self._client(request.url).exchange(data, _deadline(request), keep_body=True)
        except UnfitHeader as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        except NotHttp as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.ReadError(str(error), request=request) from error
        return _convert(response)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def _client(self, url: httpx.URL) -> HttpClient:
        host, port = origin = (url.raw_host.decode("ascii"), url.port or 443)
        if origin not in self._clients:
            connector = Connector(
                host=host,
                port=port,
                rules=self._rules,
                resolve=self._resolve,
                open_connection=connection_opener(self._proxy, host, port),
            )
            self._clients[origin] = HttpClient(connector, self._context, self._limit)
        return self._clients[origin]


def _deadline(request: httpx.Request) -> float:
    given = [seconds for seconds in request.extensions.get("timeout", {}).values() if seconds is not None]
    return max(given, default=_DEFAULT_DEADLINE_SECONDS)


def _convert(response: ResponseReader) -> httpx.Response:
    head = response.head
    assert head is not None
    return httpx.Response(
        head.status, headers=head.headers(), stream=_ReadBody(response.body, whole=response.complete)
    )


class _ReadBody(httpx.AsyncByteStream):
    def __init__(self, body: bytes, *, whole: bool) -> None:
        self._body, self._whole = body, whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        if not self._whole:
            raise httpx.ReadError(f"the body is broken, or longer than {MAX_RESPONSE_BODY_BYTES // 1024} KiB")
