"""From an address that was checked to a connected socket. Nothing is looked up here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

# An IP address with its zone where it has one, a port, and when, on the loop's clock, whoever asks gives up.
Dial = Callable[[str, int, float], Awaitable[socket.socket]]


async def dial(address: str, port: int, due: float) -> socket.socket:  # noqa: ARG001 - who asks keeps the time
    """A socket that does not block, connected to the address. Raises OSError."""
    ((family, kind, protocol, _, where), *_) = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )
    connected = socket.socket(family, kind, protocol)
    try:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connected, where)
    except BaseException:
        connected.close()
        raise
    return connected
