"""The connections of httpcore's pool, to addresses that the relay's rules admit, directly or through the proxy."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import httpcore

from hookline.descriptors import lacks_descriptor
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.certificate_info import ShownCertificate
from hookline.relay.http.connector import AddressMemory, connect_checked
from hookline.relay.http.error_mapping import error_text
from hookline.relay.http.limits.connection_budget import ConnectionShare
from hookline.relay.http.limits.handshake_threads import Handshakes
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.pool.guarded_stream import GuardedStream, Peer, current_exchange
from hookline.relay.http.proxy import Proxy, ProxyFailed, ProxyResponseReader, connect_request
from hookline.relay.http.proxy_tunnel import connection_opener, proxy_errors
from hookline.relay.http.resolver import Resolve


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves and checks addresses by the relay's rules, and connects to them directly or through the proxy."""

    def __init__(
        self,
        rules: NetworkRules,
        resolve: Resolve,
        proxy: Proxy | None,
        limits: SharedLimits,
        shown: ShownCertificate,
    ) -> None:
        self._shown = shown
        self._share = ConnectionShare(limits.connections)
        self._handshakes = Handshakes(limits.handshakes)
        self._memory = AddressMemory()
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
        while not self._share.try_take():
            await self._share.wait()
        try:
            return await self._connect(host, port, timeout, local_address, socket_options)
        except BaseException:
            self._share.give_back()
            raise

    async def _connect(
        self,
        host: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        proxy = self._proxy if self._proxy is not None and self._proxy.applies_to(host, port) else None
        due = current_exchange.get().due

        async def connect(address: str) -> GuardedStream:
            if proxy is not None:
                stream = await self._tunnel(proxy, address, port, due)
            else:
                stream = await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            reconnect = partial(connection_opener(proxy, host, port), address, port, due)
            return GuardedStream(stream, Peer(host, address, self._memory, reconnect, self._handshakes, self._shown))

        while True:
            try:
                found = await connect_checked(
                    host, port, rules=self._rules, resolve=self._resolve, connect=connect, memory=self._memory
                )
            except OSError as error:
                if not lacks_descriptor(error):
                    raise httpcore.ConnectError(str(error)) from error
                await self._share.wait_for_descriptors()
            else:
                found.on_closed = self._share.give_back
                return found

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
            except (httpcore.ReadError, httpcore.WriteError) as error:
                await stream.aclose()
                raise ProxyFailed(f"the proxy broke the connection: {error_text(error)}") from error
            except BaseException:
                await stream.aclose()
                raise
            return stream
