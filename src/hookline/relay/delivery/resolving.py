"""Names become addresses, each in a thread of its own: a resolver that hangs delays nobody but who asked it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Thread

Resolve = Callable[[str, int], Awaitable[list[str]]]


async def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver answers, in its order of preference (RFC 6724). Raises OSError.

    There are no more threads than connections in the making, and a process that ends does not wait for one: asyncio's
    own executor has a handful of threads for everybody, and is waited for.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str] | None, error: Exception | None) -> None:
        if answer.done():  # whoever asked has given up
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(addresses or [])

    def ask() -> None:
        addresses, error = None, None
        try:
            addresses = _look_up(host, port)
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            loop.call_soon_threadsafe(settle, addresses, error)

    Thread(target=ask, name="resolver", daemon=True).start()
    return await answer


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(f"not a host name: {host!r}") from error
    # An IPv6 address comes with its zone, where it has one: fe80::1%eth0.
    return [str(address[0]) for *_, address in found]
