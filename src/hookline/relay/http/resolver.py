"""Resolves names in threads, so that a name server that hangs delays only the callers that ask it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Lock, Thread
from typing import Final

from hookline.descriptors import is_any_descriptor_left

Resolve = Callable[[str, int], Awaitable[list[str]]]

# If this number of names hang at the same time, further names wait for one of them.
MAX_RESOLVER_THREADS: Final = 128

_Name = tuple[str, int]


class Resolver:
    """At most one look-up of a name at a time, for all callers that ask for it, in at most `max_threads` threads.

    An attempt that gives up leaves its thread waiting for the name server, and the next attempt waits for the same
    look-up. The threads do not delay the end of the process, unlike those of asyncio's executor.
    """

    def __init__(self, look_up: Callable[[str, int], list[str]], max_threads: int = MAX_RESOLVER_THREADS) -> None:
        self._look_up = look_up
        self._max_threads = max_threads
        self._lock = Lock()
        self._waiting: dict[_Name, list[asyncio.Future[list[str]]]] = {}
        self._queue: deque[_Name] = deque()
        self._threads = 0

    async def addresses(self, host: str, port: int) -> list[str]:
        """The result of the look-up. Raises OSError."""
        result: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        with self._lock:
            waiting = self._join((host, port))
            waiting.append(result)
        try:
            return await result
        finally:
            with self._lock, suppress(ValueError):
                waiting.remove(result)

    def _join(self, name: _Name) -> list[asyncio.Future[list[str]]]:
        if (waiting := self._waiting.get(name)) is not None:
            return waiting
        if self._threads < self._max_threads:
            try:
                Thread(target=self._work, name="resolver", daemon=True).start()
            except RuntimeError as error:
                raise OSError("the system has no thread left to resolve the name") from error
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
            for result in waiting:
                with suppress(RuntimeError):  # the caller's loop is closed
                    result.get_loop().call_soon_threadsafe(_settle, result, addresses, error)

    def _next(self) -> _Name | None:
        """The next name that a caller still waits for. None: there is no such name, and the thread ends."""
        with self._lock:
            while self._queue:
                name = self._queue.popleft()
                if self._waiting[name]:
                    return name
                del self._waiting[name]
            self._threads -= 1
            return None


def _settle(result: asyncio.Future[list[str]], addresses: list[str] | None, error: Exception | None) -> None:
    if result.done():
        return  # the caller gave up
    if error is not None:
        result.set_exception(error)
    else:
        result.set_result(list(addresses or ()))


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except UnicodeError as error:
        raise OSError(f"not a host name: {host!r}") from error
    except socket.gaierror as error:
        if not is_any_descriptor_left():  # the library reports an unknown name
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
        raise
    # An IPv6 address may have a zone: fe80::1%eth0.
    return [str(address[0]) for *_, address in found]


_SYSTEM: Final = Resolver(_look_up)


async def system_addresses(host: str, port: int) -> list[str]:
    """The addresses from the system's resolver, in its order of preference (RFC 6724). Raises OSError."""
    return await _SYSTEM.addresses(host, port)
