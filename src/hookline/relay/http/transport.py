"""How attempts are posted to one URL, whatever carries them; and the engine's way, with little to do for each."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connector import Connector
from hookline.relay.http.error_mapping import describe
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.proxy_tunnel import connecting_through
from hookline.relay.http.request import Header, Target, attempt_lines, request_lines
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.response_head import Head
from hookline.relay.http.retry_after import parse_retry_after


class Transport(Protocol):
    """Posts to one target over connections that it owns."""

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Make one POST with `headers`, the attempt's own and its `signature`, if any.

        `deadline` seconds from now everything is over.

        Called by up to `limit` at a time. Raises nothing but CancelledError. An answer counts once its head is
        complete; what comes behind is read only so that the connection can be used again. `headers` may be the very
        object of the last call: then nothing in them has changed.
        """
        ...

    async def aclose(self) -> None:
        """Close the idle connections now, and each of the others when its post is over."""
        ...


# Target, rules for its addresses, TLS, how many posts at a time, and a clock that gives Unix seconds.
OpenTransport = Callable[[Target, NetworkRules, ssl.SSLContext, int, Callable[[], float]], Transport]


class OpenThroughProxy(Protocol):
    """An `OpenTransport` that goes through a proxy where there is one."""

    def __call__(
        self,
        target: Target,
        rules: NetworkRules,
        context: ssl.SSLContext,
        limit: int,
        clock: Callable[[], float],
        *,
        proxy: Proxy | None = ...,
    ) -> Transport: ...


class ClientTransport:
    """Implements `Transport` on the engine: constant bytes made once, an attempt's own lines, and its body."""

    def __init__(self, engine: HttpClient, target: Target, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._target = target
        self._clock = clock
        self._headers: Sequence[Header] | None = None
        self._beginning = b""

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        """Make one POST; see the port."""
        try:
            if headers is not self._headers:
                self._beginning = request_lines(self._target.path, self._target.netloc, headers)
                self._headers = headers
            request = b"".join((self._beginning, attempt_lines(attempt, signature), attempt.body))
            head = (await self._engine.exchange(request, deadline)).head
        except Exception as error:  # the port promises that nothing a network can do gets out of here
            return describe(error, deadline)
        assert head is not None
        return Response(head.status, self._wait(head))

    async def aclose(self) -> None:
        await self._engine.aclose()

    def _wait(self, head: Head) -> float | None:
        if head.retry_after is None or 200 <= head.status < 300:
            return None
        return parse_retry_after(head.retry_after.decode("latin-1"), self._clock())


def open_engine(
    target: Target,
    rules: NetworkRules,
    context: ssl.SSLContext,
    limit: int,
    clock: Callable[[], float],
    *,
    resolve: Resolve = system_addresses,
    proxy: Proxy | None = None,
) -> Transport:
    """The default way: the engine."""
    dial = connecting_through(proxy, target.host, target.port)
    connector = Connector(host=target.host, port=target.port, rules=rules, resolve=resolve, dial=dial)
    return ClientTransport(HttpClient(connector, context, limit), target, clock)
