"""Tells a service manager how the relay is (sd_notify(3)): one datagram to the socket that it names."""

from __future__ import annotations

import socket
from contextlib import suppress


def notify(address: str | None, state: str) -> None:
    """Send `state` (``READY=1``, ``STOPPING=1``). Nothing happens where there is no service manager."""
    if not address:
        return
    # A leading @ stands for the NUL byte of an abstract socket.
    target = "\0" + address[1:] if address.startswith("@") else address
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), target)
