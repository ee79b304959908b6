"""Tells a service manager how the relay is (sd_notify(3)): one datagram to the socket that it names."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
_ALIVE: Final = "WATCHDOG=1"
_SECONDS: Final = 1.0  # a manager that takes nothing in must not hold up the relay


def notify(address: str | None, state: str) -> None:
    """Send `state`, one assignment a line. Nothing happens where there is no service manager."""
    if not address:
        return
    # A leading @ stands for the NUL byte of an abstract socket.
    target = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_SECONDS)
        channel.sendto(state.encode(), target)


def reloading() -> str:
    """The configuration is being read again, until READY. The time tells this from an earlier one."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status_message(pending: int, oldest: float | None, unready: str | None) -> str:
    """The line that `systemctl status` shows. `oldest` is in seconds."""
    text = f"{pending:,} pending" if oldest is None else f"{pending:,} pending, oldest {oldest:.0f} s"
    return f"STATUS={text if unready is None else f'{unready} ({text})'}"


async def keep_alive(tell: Callable[[str], None], answers: Callable[[], Awaitable[object]], every: float) -> None:
    """Say each `every` seconds that the relay lives: its event loop, by running this, and what `answers` asks.

    Whatever hangs, the service manager hears nothing more and starts the relay anew.
    """
    while True:
        await answers()
        tell(_ALIVE)
        await asyncio.sleep(every)
