"""Connections of one transport: at most so many, each used by one request at a time, and again while it is warm.

httpcore's own pool looks at every connection for every request: with 32 of them that costs three times as much as
the request. Here a request looks at one connection, the one that was used last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Reusable(Protocol):
    """What a pool asks of a connection; httpcore's connections answer it."""

    def is_available(self) -> bool:
        """Whether it can take a request: idle, and not closed."""
        ...

    def has_expired(self) -> bool:
        """Whether it has been idle for too long, or the other side has closed it."""
        ...

    async def aclose(self) -> None: ...


Connection = TypeVar("Connection", bound=Reusable)


class Pool(Generic[Connection]):
    """`make` gives a connection that is not yet connected; it is called only when no warm one is left."""

    def __init__(self, make: Callable[[], Connection], limit: int) -> None:
        self._make = make
        self._free = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []
        self._closed = False

    async def acquire(self) -> Connection:
        """A connection for one request, to be given back by `release`. Waits while all are in use."""
        await self._free.acquire()
        try:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_available() and not connection.has_expired():
                    return connection
                await connection.aclose()
            return self._make()
        except BaseException:
            self._free.release()
            raise

    async def release(self, connection: Connection) -> None:
        """Take a connection back: kept when it can be used again, else closed."""
        try:
            if connection.is_available() and not self._closed:
                self._idle.append(connection)
                # The one that was used longest ago: in a quieter time the surplus is closed, one a request.
                if self._idle[0].has_expired():
                    await self._idle.pop(0).aclose()
            else:
                await connection.aclose()
        finally:
            self._free.release()

    async def aclose(self) -> None:
        """Close the idle connections now, and the others when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().aclose()
