"""httpx's side: a poster over any `httpx.AsyncBaseTransport`, and the engine as one.

No httpx client in between: it would follow proxies, cookies and redirects that are not wanted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import httpx

from hookline.relay.delivery.answer import LARGEST_BODY, AnswerReader
from hookline.relay.delivery.answer_head import NotHttp
from hookline.relay.delivery.connecting import Connector
from hookline.relay.delivery.describing import broken, describe
from hookline.relay.delivery.engine import Engine
from hookline.relay.delivery.headers import Header, UnfitHeader, attempt_headers, request_lines
from hookline.relay.delivery.httpcore_transport import DUE, open_httpcore
from hookline.relay.delivery.outcome import Answer, Failure, FailureKind, Fault, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import Poster
from hookline.relay.delivery.proxy import Proxy
from hookline.relay.delivery.resolving import Resolve, system_addresses
from hookline.relay.delivery.retry_after import parse_retry_after
from hookline.relay.delivery.target import Target
from hookline.relay.delivery.tunnelling import dialling
from hookline.relay.delivery.wording import one_line
from hookline.relay.network import NetworkRules

# For a request that brings no timeout, in seconds.
_NO_TIMEOUT: Final = 3600.0


class HttpxPoster:
    """Implements `poster.Poster` over one httpx transport, which it owns. `clock` gives Unix time in seconds."""

    def __init__(self, transport: httpx.AsyncBaseTransport, target: Target, clock: Callable[[], float]) -> None:
        self._transport = transport
        self._url = httpx.URL(target.url)
        self._clock = clock

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> Result:
        """Make one POST; see the port."""
        answer: Answer | None = None
        try:
            async with asyncio.timeout(deadline):
                sent = [*headers, *attempt_headers(attempt, signature)]
                due = {DUE: asyncio.get_running_loop().time() + deadline}
                request = httpx.Request("POST", self._url, headers=sent, content=attempt.body, extensions=due)
                response = await self._transport.handle_async_request(request)
                try:
                    answer = Answer(response.status_code, self._retry_after(response))
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
    if declared.isdecimal() and (len(declared) > 9 or int(declared) > LARGEST_BODY):
        return
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    length = 0
    async for part in stream:
        length += len(part)
        if length > LARGEST_BODY:
            return


def _describe(error: Exception, deadline: float) -> Failure | Fault:
    """As `describe` does, with httpx's own exceptions besides: what lies below them says more than they do."""
    below = describe(error, deadline)
    if not isinstance(error, httpx.TransportError) or (isinstance(below, Failure) and below.kind is FailureKind.TLS):
        return below
    match error:
        case httpx.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return Fault(one_line(f"the request cannot be sent: {error}"))
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
) -> Poster:
    """httpx's way: its requests, responses and exceptions over httpcore's connections."""
    return HttpxPoster(open_httpcore(rules, context, limit, resolve, proxy), target, clock)


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
        self._engines: dict[tuple[str, int], Engine] = {}

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

    def _engine(self, url: httpx.URL) -> Engine:
        host, port = origin = (url.raw_host.decode("ascii"), url.port or 443)
        if origin not in self._engines:
            dial = dialling(self._proxy, host, port)
            connector = Connector(host=host, port=port, rules=self._rules, resolve=self._resolve, dial=dial)
            self._engines[origin] = Engine(connector, self._context, self._limit)
        return self._engines[origin]


# The transport's own to write.
_FRAMING: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})


def _deadline(request: httpx.Request) -> float:
    given = [seconds for seconds in request.extensions.get("timeout", {}).values() if seconds is not None]
    return max(given, default=_NO_TIMEOUT)


def _response(answer: AnswerReader) -> httpx.Response:
    head = answer.head
    assert head is not None
    return httpx.Response(head.status, headers=head.fields(), stream=_ReadBody(answer.body, whole=answer.complete))


class _ReadBody(httpx.AsyncByteStream):
    def __init__(self, body: bytes, *, whole: bool) -> None:
        self._body, self._whole = body, whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        if not self._whole:
            raise httpx.ReadError(f"the body is broken, or longer than {LARGEST_BODY // 1024} KiB")
