"""The port for POSTs to one URL, and its implementation over the relay's own HTTP client."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import ShownCertificate
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connector import Connector
from hookline.relay.http.error_mapping import map_error
from hookline.relay.http.exchange import Attempt, ExchangeResult
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.proxy_tunnel import connection_opener
from hookline.relay.http.request import Header, Target, attempt_lines, request_lines
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import response_of
from hookline.relay.http.response_reader import ResponseReader

# The receiver of an attempt's result.
OnResult = Callable[[ExchangeResult], None]


class BegunPost(Protocol):
    """A POST whose result a receiver waits for."""

    def cancel(self) -> None:
        """End it now. The receiver ignores a result that arrives later."""


class Transport(Protocol):
    """Posts to one target over connections that it owns.

    `shown` is the certificate of the latest handshake. None: the transport does not know it.
    """

    shown: ShownCertificate | None = None

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Make one POST. At most `limit` calls run at the same time. CancelledError is the only exception.

        A response counts as soon as its head is complete. The rest is read only to use the connection again.

        Args:
            headers: The headers that are the same in every attempt. If this is the object of the last call, nothing
                in it has changed.
            attempt: The body, and the values of the attempt's own headers.
            deadline: Seconds in which the call ends, from when a connection may be used. A wait for the connections
                that all endpoints share does not count.
            signature: The value of ``webhook-signature``; empty: none.
        """

    def begin(
        self,
        headers: Sequence[Header],
        attempt: Attempt,
        *,
        deadline: float,
        on_result: OnResult,
        signature: str = "",
    ) -> BegunPost | None:
        """Make one POST without a task, if it can go out at once. Otherwise return None, and do nothing.

        The loop calls `on_result` once, with the same result as `post` returns; this method never does. A receiver
        that begins the next POST in this call uses the same connection. The other arguments are those of `post`. By
        default, every POST needs a task.
        """
        return None

    async def aclose(self) -> None:
        """Close the idle connections now, and each of the others when its POST has ended."""


class OpenTransport(Protocol):
    """Opens a transport; see `open_client` for the arguments."""

    def __call__(
        self,
        target: Target,
        rules: NetworkRules,
        context: ssl.SSLContext,
        limit: int,
        clock: Callable[[], float],
        *,
        proxy: Proxy | None = ...,
        limits: SharedLimits | None = ...,
    ) -> Transport: ...


class ClientTransport:
    """Implements `Transport` over `HttpClient`. It builds the constant bytes of a request once."""

    def __init__(
        self, client: HttpClient, target: Target, clock: Callable[[], float], shown: ShownCertificate | None = None
    ) -> None:
        self.shown = shown
        self._client = client
        self._target = target
        self._clock = clock
        self._headers: Sequence[Header] | None = None
        self._beginning = b""

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        try:
            if headers is not self._headers:
                self._beginning = request_lines(self._target.path, self._target.netloc, headers)
                self._headers = headers
            request = b"".join((self._beginning, attempt_lines(attempt, signature), attempt.body))
            return self._result_of(await self._client.exchange(request, deadline), deadline)
        except Exception as error:  # the port promises a result for every error of a network
            if self.shown is not None:
                self.shown.observe_failure(error)
            return map_error(error, deadline)

    def begin(
        self,
        headers: Sequence[Header],
        attempt: Attempt,
        *,
        deadline: float,
        on_result: OnResult,
        signature: str = "",
    ) -> BegunPost | None:
        if headers is not self._headers:
            return None  # `post` prepares them
        request = b"".join((self._beginning, attempt_lines(attempt, signature), attempt.body))
        return self._client.try_send(request, deadline, partial(self._report, on_result, deadline))

    def _report(self, on_result: OnResult, deadline: float, ended: ResponseReader | BaseException) -> None:
        on_result(self._result_of(ended, deadline))

    def _result_of(self, ended: ResponseReader | BaseException, deadline: float) -> ExchangeResult:
        if not isinstance(ended, ResponseReader):
            return map_error(ended, deadline)
        assert ended.head is not None
        return response_of(ended.head.status, ended.head.retry_after, self._clock)

    async def aclose(self) -> None:
        await self._client.aclose()


def open_client(
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
    """The default transport, over the relay's own client.

    Args:
        target: The webhook's URL.
        rules: Which addresses may be connected to.
        context: TLS with the webhook's certificates.
        limit: The largest number of connections.
        clock: Returns Unix time in seconds, for Retry-After.
        resolve: The resolver.
        proxy: The relay's proxy. It is used if it applies to the target.
        limits: Those that the endpoints of one relay share.
    """
    shown = ShownCertificate()
    connector = Connector(
        host=target.host,
        port=target.port,
        rules=rules,
        resolve=resolve,
        open_connection=connection_opener(proxy, target.host, target.port),
        observe=shown.observe,
    )
    shared = limits or SharedLimits()
    client = HttpClient(connector, context, limit, budget=shared.connections, turns=shared.handshakes)
    return ClientTransport(client, target, clock, shown)
