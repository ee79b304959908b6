"""Notifies a service manager of the relay's state (sd_notify(3)): one datagram to the socket that it names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
_ALIVE: Final = "WATCHDOG=1"
_SEND_SECONDS: Final = 1.0  # a manager that does not read must not block the relay


def notify(address: str | None, state: str) -> None:
    """Send `state`, one assignment per line. Without an address it does nothing."""
    if not address:
        return
    # A leading @ means the NUL byte of an abstract socket.
    target = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_SEND_SECONDS)
        channel.sendto(state.encode(), target)


def reloading(monotonic_microseconds: int) -> str:
    """The relay reads its configuration again, until READY. The time distinguishes this message from earlier ones."""
    return f"RELOADING=1\nMONOTONIC_USEC={monotonic_microseconds}"


def status_message(pending: int, oldest: float | None, unready: str | None) -> str:
    """The line that `systemctl status` shows. `oldest` is the age of the oldest pending delivery in seconds."""
    text = f"{pending:,} pending" if oldest is None else f"{pending:,} pending, oldest {oldest:.0f} s"
    return f"STATUS={text if unready is None else f'{unready} ({text})'}"


async def keep_alive(
    send: Callable[[str], None], answers: Callable[[], Awaitable[object]], interval_seconds: float
) -> None:
    """Send a sign of life every `interval_seconds`, as long as the event loop runs and `answers` returns.

    If either hangs, the service manager receives no sign and restarts the relay.
    """
    while True:
        await answers()
        send(_ALIVE)
        await asyncio.sleep(interval_seconds)
