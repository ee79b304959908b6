"""The transport of `--transport httpx`: httpx's values and exceptions over httpcore's connections.

No httpx client is involved, because it would follow proxies, cookies and redirects.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

import httpx

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import ShownCertificate
from hookline.relay.http.connector import failed_address
from hookline.relay.http.error_mapping import error_text, map_error
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response, one_line
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.pool.httpcore_pool import DUE, open_httpcore
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Header, Target, attempt_headers
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import parse_retry_after
from hookline.relay.http.response_reader import MAX_RESPONSE_BODY_BYTES
from hookline.relay.http.transport import Transport


class HttpxTransport(Transport):
    """Implements `Transport` over one httpx transport, which it owns. `clock` returns Unix time in seconds."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        target: Target,
        clock: Callable[[], float],
        shown: ShownCertificate | None = None,
    ) -> None:
        self.shown = shown
        self._transport = transport
        self._url = httpx.URL(target.url).copy_with(raw_path=target.path)
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
    address = failed_address(error)
    match error:
        case httpx.TimeoutException():
            return Failure(FailureKind.TIMEOUT, "the connection timed out", address)
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return LocalFault(one_line(f"the request cannot be sent: {error}"))
        case httpx.RemoteProtocolError():
            return Failure(FailureKind.NETWORK, one_line(f"no complete HTTP response: {error}"), address)
        case _:
            return Failure(FailureKind.NETWORK, error_text(error), address)


def open_httpx(
    target: Target,
    rules: NetworkRules,
    context: ssl.SSLContext,
    limit: int,
    clock: Callable[[], float],
    *,
    resolve: Resolve = system_addresses,
    proxy: Proxy | None = None,
    limits: SharedLimits | None = None,
) -> Transport:
    """Opens the transport. Its arguments are those of `transport.open_client`."""
    shared = limits or SharedLimits()
    shown = ShownCertificate()
    pool = open_httpcore(rules, context, limit, resolve, proxy=proxy, limits=shared, shown=shown)
    return HttpxTransport(pool, target, clock, shown)
