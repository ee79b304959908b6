"""Opens a tunnel through the proxy to an address that was checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from hookline.relay.http.connector import OpenConnection, open_connection
from hookline.relay.http.error_mapping import error_text
from hookline.relay.http.proxy import Proxy, ProxyFailed, ProxyResponseReader, connect_request
from hookline.relay.http.resolver import system_addresses

_READ_BYTES: Final = 4096
# The share of the remaining time that the proxy gets. With all of it, the attempt's own deadline would expire first
# and name the endpoint as the cause.
_TIME_SHARE: Final = 0.8


def connection_opener(proxy: Proxy | None, host: str, port: int) -> OpenConnection:
    """A function that connects to the addresses of `host`, through the proxy if it applies to that host."""
    if proxy is None or not proxy.applies_to(host, port):
        return open_connection

    async def open_through_proxy(address: str, port: int, due: float) -> socket.socket:
        loop = asyncio.get_running_loop()
        async with proxy_errors(due):
            connected = await _connect_to_proxy(proxy, due)
            try:
                await loop.sock_sendall(connected, connect_request(address, port, proxy.authorization))
                response = ProxyResponseReader()
                while not response.feed(await loop.sock_recv(connected, _READ_BYTES)):
                    pass
            except BaseException:
                connected.close()
                raise
            return connected

    return open_through_proxy


@asynccontextmanager
async def proxy_errors(due: float) -> AsyncIterator[None]:
    """Turns every error and timeout of the enclosed exchange with a proxy into ProxyFailed, before `due`."""
    now = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(now + _TIME_SHARE * (due - now)):
            yield
    except ProxyFailed:
        raise
    except TimeoutError as error:
        raise ProxyFailed("the proxy does not answer") from error
    except OSError as error:
        raise ProxyFailed(f"the proxy broke the connection: {error_text(error)}") from error


async def _connect_to_proxy(proxy: Proxy, due: float) -> socket.socket:
    """The address rules do not apply to the proxy, because the operator configured it."""
    try:
        addresses = await system_addresses(proxy.host, proxy.port)
    except OSError as error:
        raise ProxyFailed("the proxy's name does not resolve") from error
    failure: OSError = ProxyFailed("the proxy's name has no address")
    for address in dict.fromkeys(addresses):
        try:
            return await open_connection(address, proxy.port, due)
        except OSError as error:
            failure = error
    raise ProxyFailed(f"no connection to the proxy: {(failure.strerror or str(failure)).lower()}")
