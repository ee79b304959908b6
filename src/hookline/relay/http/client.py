"""The engine of the hot path: prepared bytes go out to one host over kept connections, and an answer comes back.

It knows one thing, an HTTP/1.1 request over TLS: no redirect, cookie, coding or 100-continue
(docs/decisions/0013-own-http-client.md).
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from hookline.relay.http.certificate_info import certificate_refusal
from hookline.relay.http.connection import ClientConnection
from hookline.relay.http.connector import Connector, RawConnection, encrypted
from hookline.relay.http.response_reader import ResponseReader


# So many at a time, first come, first served; free of charge while there is room.
class ConnectionSlots:
    """Like asyncio.Semaphore, but taking a free slot is no coroutine: on the hot path that is felt."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self._free and not self._waiting:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Take a slot, in turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()  # it was ours already
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def give_back(self) -> None:
        """Give a slot back: to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


# Shorter than the 5 s after which a Node.js server hangs up: a request sent into a closing connection is lost.
IDLE_SECONDS: Final = 4.0
# A name may have got other addresses: a connection is not used beyond this, less up to a fifth of it, so that the
# connections of a burst are not all made anew at once.
AGE_SECONDS: Final = 300.0


class HttpClient:
    """At most `limit` connections, all of them made by `connector`.

    One timer serves all deadlines: it is set to the earliest and, since deadlines come in order, hardly ever anew.
    `jitter` gives numbers in [0, 1).
    """

    def __init__(
        self,
        connector: Connector,
        context: ssl.SSLContext,
        limit: int,
        *,
        jitter: Callable[[], float] = random.random,
        age_seconds: float = AGE_SECONDS,
    ) -> None:
        self._connector, self._context = connector, context
        self._jitter, self._age_seconds = jitter, age_seconds
        self._slots = ConnectionSlots(limit)
        self._idle: list[ClientConnection] = []
        self._open: set[ClientConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = float("inf")
        self._is_closed = False

    async def exchange(self, request: bytes, deadline: float, *, keep: bool = False) -> ResponseReader:
        """Send one request and read its answer, all within `deadline` seconds. With `keep`, body and all.

        Raises AddressRefused, NotHttp and OSError (ssl.SSLError and TimeoutError with it).
        """
        now = asyncio.get_running_loop().time()
        due = now + deadline
        if not self._slots.take():
            async with asyncio.timeout_at(due):
                await self._slots.wait()
        connection: ClientConnection | None = None
        try:
            connection = self._warm(now)
            if connection is not None:
                try:
                    self._expect(connection, due)
                    return await connection.exchange(request, keep=keep)
                except ConnectionError:
                    # A server may hang up on a connection that waits, at the very moment at which the next request is
                    # on its way (RFC 9112 §9.3.1). The webhook-id makes a second copy recognizable.
                    if not connection.untouched:
                        raise
            connection = await self._connect(due)
            self._expect(connection, due)
            return await connection.exchange(request, keep=keep)
        finally:
            self._slots.give_back()
            if connection is not None:
                self._keep_or_close(connection)

    async def connect(self, deadline: float) -> None:
        """Make a connection within `deadline` seconds, and keep it for the first request.

        Raises AddressRefused, ProxyRefused, OSError (ssl.SSLError and TimeoutError with it), and ValueError for a
        name that no certificate can be for.
        """
        self._keep_or_close(await self._connect(asyncio.get_running_loop().time() + deadline))

    async def aclose(self) -> None:
        """Close the idle connections now, and the others when their answer is there."""
        self._is_closed = True
        for connection in list(self._idle):
            connection.close()

    def _warm(self, now: float) -> ClientConnection | None:
        """The connection that was used last: in a quieter time, the others grow idle and are closed."""
        while self._idle:
            connection = self._idle.pop()
            if now < connection.retire_at and connection.look():
                return connection
            connection.close()
        return None

    def _keep_or_close(self, connection: ClientConnection) -> None:
        if not connection.reusable or self._is_closed:
            connection.close()
            return
        self._idle.append(connection)
        self._expect(connection, asyncio.get_running_loop().time() + IDLE_SECONDS)

    async def _connect(self, due: float) -> ClientConnection:
        raw: RawConnection | None = None
        try:
            async with asyncio.timeout_at(due):
                raw = await self._connector.connect(due)
                connection = await self._encrypted(raw)
        except ssl.SSLCertVerificationError as error:
            assert raw is not None
            again = partial(self._connector.dial, raw.address, self._connector.port, due)
            # Behind the timeout: that this was refused is known, whatever a look at it still finds in time.
            raise await certificate_refusal(error, self._connector.host, again, due=due) from error
        age = self._age_seconds * (1 - self._jitter() / 5)
        connection.retire_at = asyncio.get_running_loop().time() + age
        return connection

    async def _encrypted(self, raw: RawConnection) -> ClientConnection:
        host = self._connector.host
        try:
            connection = ClientConnection(raw.socket, self._context, host, hurry=self._expect, closed=self._forget)
        except ValueError:  # a name that no certificate can be for
            await raw.aclose()
            raise
        self._open.add(connection)
        try:
            await connection.handshake()
        except asyncio.CancelledError:
            connection.close()
            raise
        self._connector.observe(encrypted(connection.tls))
        return connection

    def _forget(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, float("inf")
        if connection in self._idle:
            self._idle.remove(connection)

    # -- time

    def _expect(self, connection: ClientConnection, due: float) -> None:
        connection.due = due
        if due < self._timer_due:
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_due = asyncio.get_running_loop().call_at(due, self._on_time), due

    def _on_time(self) -> None:
        """Close what is over its time, and look again when the next one will be."""
        self._timer, self._timer_due = None, float("inf")
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            if connection.due <= now:
                connection.close(TimeoutError())
        soonest = min((connection.due for connection in self._open), default=float("inf"))
        if soonest < float("inf"):
            self._set_timer(soonest)
