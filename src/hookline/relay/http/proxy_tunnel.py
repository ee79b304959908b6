"""Through a proxy to an address that was checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from hookline.relay.http.connector import Dial, dial
from hookline.relay.http.error_mapping import broken
from hookline.relay.http.proxy import Proxy, ProxyFailed, Tunnel, connect_request
from hookline.relay.http.resolver import Resolve, system_addresses

_READ_BYTES: Final = 4096
# Of the time that is left: with all of it, the attempt's own deadline would blame the endpoint.
_SHARE: Final = 0.8


def connecting_through(proxy: Proxy | None, host: str, port: int) -> Dial:
    """How to get to the addresses of `host`: directly, or through the proxy when it stands before that host."""
    if proxy is None or not proxy.stands_before(host, port):
        return dial
    through = proxy

    async def tunnel(address: str, port: int, due: float) -> socket.socket:
        async with naming_proxy_errors(due):
            connected = await _reach(through, due)
            try:
                await _open_tunnel(connected, through, address, port)
            except BaseException:
                connected.close()
                raise
            return connected

    return tunnel


@asynccontextmanager
async def naming_proxy_errors(due: float) -> AsyncIterator[None]:
    """For what is said to a proxy: whatever breaks or takes too long in there is a ProxyFailed, before `due`."""
    now = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(now + _SHARE * (due - now)):
            yield
    except ProxyFailed:
        raise
    except TimeoutError as error:
        raise ProxyFailed("the proxy does not answer") from error
    except OSError as error:
        raise ProxyFailed(f"the proxy broke the connection: {broken(error)}") from error


async def _reach(proxy: Proxy, due: float, resolve: Resolve = system_addresses) -> socket.socket:
    """The operator has named the proxy, so the rules for webhooks' addresses do not concern it."""
    try:
        addresses = await resolve(proxy.host, proxy.port)
    except OSError as error:
        raise ProxyFailed("the proxy's name does not resolve") from error
    failed: OSError = ProxyFailed("the proxy's name has no address")
    for address in dict.fromkeys(addresses):
        try:
            return await dial(address, proxy.port, due)
        except OSError as error:
            failed = error
    raise ProxyFailed(f"no connection to the proxy: {(failed.strerror or str(failed)).lower()}")


async def _open_tunnel(connected: socket.socket, proxy: Proxy, address: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connected, connect_request(address, port, proxy.authorization))
    tunnel = Tunnel()
    while not tunnel.feed(await loop.sock_recv(connected, _READ_BYTES)):
        pass
