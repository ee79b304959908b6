"""Names become addresses, in threads: a resolver that hangs delays nobody but who asked it."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Final

Resolve = Callable[[str, int], Awaitable[list[str]]]

# So many names may hang at a time before others wait for one of them.
MAX_RESOLVER_THREADS: Final = 128

_Name = tuple[str, int]


class LookUps:
    """At most one look-up of a name at a time, shared by all who ask meanwhile, in at most `most` threads.

    An attempt that has given up leaves its thread waiting for the name server: the next one joins that, and does not
    start another. A process that ends waits for no thread, as it would for those of asyncio's own executor.
    """

    def __init__(self, look_up: Callable[[str, int], list[str]], most: int = MAX_RESOLVER_THREADS) -> None:
        self._look_up = look_up
        self._most = most
        self._lock = Lock()
        self._waiting: dict[_Name, list[asyncio.Future[list[str]]]] = {}
        self._queue: deque[_Name] = deque()
        self._threads = 0

    async def addresses(self, host: str, port: int) -> list[str]:
        """What the look-up answers. Raises OSError."""
        answer: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        with self._lock:
            waiting = self._join((host, port))
            waiting.append(answer)
        try:
            return await answer
        finally:
            with self._lock, suppress(ValueError):
                waiting.remove(answer)

    def _join(self, name: _Name) -> list[asyncio.Future[list[str]]]:
        if (waiting := self._waiting.get(name)) is not None:
            return waiting
        if self._threads < self._most:
            try:
                Thread(target=self._work, name="resolver", daemon=True).start()
            except RuntimeError as error:
                raise OSError("there is no thread left to look the name up in") from error
            self._threads += 1
        self._queue.append(name)
        self._waiting[name] = []
        return self._waiting[name]

    def _work(self) -> None:
        while (name := self._next()) is not None:
            addresses, error = None, None
            try:
                addresses = self._look_up(*name)
            except Exception as raised:
                error = raised
            with self._lock:
                waiting = tuple(self._waiting.pop(name))
            for answer in waiting:
                with suppress(RuntimeError):  # the loop is closed: nobody is there any more
                    answer.get_loop().call_soon_threadsafe(_settle, answer, addresses, error)

    def _next(self) -> _Name | None:
        """The next name that somebody still waits for; None: there is none, and this thread ends."""
        with self._lock:
            while self._queue:
                name = self._queue.popleft()
                if self._waiting[name]:
                    return name
                del self._waiting[name]
            self._threads -= 1
            return None


def _settle(answer: asyncio.Future[list[str]], addresses: list[str] | None, error: Exception | None) -> None:
    if answer.done():  # whoever asked has given up
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(list(addresses or ()))


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(f"not a host name: {host!r}") from error
    # An IPv6 address comes with its zone, where it has one: fe80::1%eth0.
    return [str(address[0]) for *_, address in found]


_SYSTEM: Final = LookUps(_look_up)


async def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver answers, in its order of preference (RFC 6724). Raises OSError."""
    return await _SYSTEM.addresses(host, port)
