"""Bounds the connections of the page: a client that sends nothing, or reads nothing, keeps out no other.

uvicorn limits the time between two requests alone. It waits without end for the rest of a request, and for a client
that does not read its answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_PAGE_CONNECTIONS: Final = 64
# Longer than IDLE_CONNECTION_SECONDS, after which uvicorn closes a connection in order.
CLIENT_SECONDS: Final = 20.0


class PageConnection(H11Protocol):
    """A connection that knows how long it has waited for its client.

    A new one closes the one that has waited longest if there are more than MAX_PAGE_CONNECTIONS. One whose page is
    being made keeps its place.
    """

    _awaited: tuple[object, int] | None = None
    _since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        now = time.monotonic()
        self.waiting_seconds(now)
        others = [one for one in self.connections if isinstance(one, PageConnection) and one is not self]
        waiting = {one: since for one in others if (since := one.waiting_seconds(now)) is not None}
        if len(others) >= MAX_PAGE_CONNECTIONS and waiting:
            longest = max(waiting, key=lambda one: waiting[one])
            self.connections.discard(longest)  # `abort` takes effect in the next round of the event loop
            longest.transport.abort()

    def waiting_seconds(self, now: float) -> float | None:
        """The seconds since the client began a request or read a part of an answer; None while a page is made."""
        cycle, unread = self.cycle, self.transport.get_write_buffer_size()
        if cycle is not None and not cycle.response_complete and not unread:
            self._awaited = None
            return None
        if self._awaited != (cycle, unread):
            self._awaited, self._since = (cycle, unread), now
        return now - self._since


def close_waiting(connections: Iterable[Any], now: float) -> None:
    """Close the connections that have waited longer than CLIENT_SECONDS."""
    for one in tuple(connections):
        if isinstance(one, PageConnection) and (one.waiting_seconds(now) or 0.0) > CLIENT_SECONDS:
            one.transport.abort()
