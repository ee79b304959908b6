"""The network below httpcore's connection pool, with the relay's rules for addresses and the use of connections.

`httpcore.AsyncConnectionPool` alone fails these cases of the conformance suite, and each part of this module and of
`httpx_transport` exists because of one of them:

- ``test_misbehaviour``, "a second answer behind the first" and the other cases with bytes after a response: h11 keeps
  the bytes and takes them for the response to the next request. `_GuardedStream` reports such a connection as
  readable, so the pool closes it.
- ``test_misbehaviour``, "a header without a colon" and the other cases with a header that h11 rejects although the
  status is clear: the transport returns the head that `ResponseReader` read.
- ``test_a_given_up_handshake_is_closed``: a cancelled TLS handshake leaves its socket open. `_GuardedStream` closes
  it.
- ``test_close_waits_for_posts``: `aclose` of the pool cuts requests that are in flight. The transport closes the pool
  after the last one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from socket import socket
from typing import Any

import httpcore

from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import refused_certificate
from hookline.relay.http.connector import connect_checked
from hookline.relay.http.error_mapping import error_text
from hookline.relay.http.proxy import Proxy, ProxyFailed, ProxyResponseReader, connect_request
from hookline.relay.http.proxy_tunnel import connection_opener, proxy_errors
from hookline.relay.http.request import server_name
from hookline.relay.http.resolver import Resolve
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import ResponseReader


@dataclass(frozen=True, slots=True)
class PoolExchange:
    """One request and its response. `due` is on the loop's clock. `response` reads the same bytes as h11."""

    due: float
    response: ResponseReader = field(default_factory=ResponseReader)


# httpcore passes neither the deadline nor the response to its network backend. The backend runs in the caller's task.
current_exchange: ContextVar[PoolExchange] = ContextVar("exchange")


class GuardedBackend(httpcore.AsyncNetworkBackend):
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
        """Raises AddressRefused, ProxyRefused and OSError."""
        proxy = self._proxy if self._proxy is not None and self._proxy.applies_to(host, port) else None
        due = current_exchange.get().due

        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            if proxy is not None:
                stream = await self._tunnel(proxy, address, port, due)
            else:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            return _GuardedStream(stream, host, partial(connection_opener(proxy, host, port), address, port, due))

        return await connect_checked(host, port, rules=self._rules, resolve=self._resolve, connect=connect)

    async def _tunnel(self, proxy: Proxy, address: str, port: int, due: float) -> httpcore.AsyncNetworkStream:
        async with proxy_errors(due):
            try:
                stream = await self._network.connect_tcp(proxy.host, proxy.port)
            except httpcore.ConnectError as error:
                raise ProxyFailed(f"no connection to the proxy: {error}") from error
            try:
                await stream.write(connect_request(address, port, proxy.authorization))
                response = ProxyResponseReader()
                while not response.feed(await stream.read(4096)):
                    pass
            except BaseException as error:
                await stream.aclose()
                if isinstance(error, httpcore.ReadError | httpcore.WriteError):
                    raise ProxyFailed(f"the proxy broke the connection: {error_text(error)}") from error
                raise
            return stream


class _GuardedStream(httpcore.AsyncNetworkStream):
    """A connection that the pool uses again only after a response that ended cleanly.

    `reconnect` connects to the same address once more, to read a certificate that was refused.
    """

    def __init__(
        self, stream: httpcore.AsyncNetworkStream, host: str, reconnect: Callable[[], Awaitable[socket]]
    ) -> None:
        self._stream = stream
        self._host, self._reconnect = host, reconnect
        self._response: ResponseReader | None = ResponseReader.unused()  # None: the bytes were not HTTP

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
                raise await refused_certificate(error.__cause__, self._host, self._reconnect) from error
            raise
        return _GuardedStream(encrypted, self._host, self._reconnect)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        if self._response is not None:
            try:
                self._response.feed(data)
            except NotHttp:  # httpcore finds the error, too, or accepts it; the connection is not used again
                self._response = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._response = current_exchange.get().response
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and not (self._response is not None and self._response.clean):
            return True  # the pool closes an idle connection that is readable
        return self._stream.get_extra_info(info)
