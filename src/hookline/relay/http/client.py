"""The HTTP client of the hot path: it sends prepared requests to one host over persistent connections.

It implements HTTP/1.1 requests over TLS and nothing else: no redirects, cookies, content codings or 100-continue
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

from hookline.relay.http.certificate_info import refused_certificate
from hookline.relay.http.connection import ClientConnection
from hookline.relay.http.connector import Connector, RawConnection, encrypted
from hookline.relay.http.response_reader import ResponseReader

# Shorter than the 5 s after which a Node.js server closes an idle connection: a request on a closing connection is
# lost.
MAX_IDLE_SECONDS: Final = 4.0
# A name may get other addresses, so no connection is used for longer. Each connection's limit is up to a fifth lower,
# so that connections that were made together do not expire together.
MAX_AGE_SECONDS: Final = 300.0


class ConnectionSlots:
    """Like asyncio.Semaphore, first come, first served. Taking a free slot needs no coroutine, to save time."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a slot if one is free and no caller waits for it."""
        if self._free and not self._waiting:
            self._free -= 1
            return True
        return False

    async def acquire(self) -> None:
        """Wait in line for a slot."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot was assigned before the cancellation
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Return a slot. The caller that has waited longest gets it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class HttpClient:
    """At most `limit` connections. One timer serves all deadlines. It rarely changes, because they come in order.

    Args:
        connector: Connects to the endpoint.
        context: TLS for every connection.
        limit: The largest number of connections.
        jitter: Returns numbers in [0, 1), by which the connections' ages differ.
        max_age_seconds: The age from which a connection is not used again.
    """

    def __init__(
        self,
        connector: Connector,
        context: ssl.SSLContext,
        limit: int,
        *,
        jitter: Callable[[], float] = random.random,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self._connector, self._context = connector, context
        self._jitter, self._max_age_seconds = jitter, max_age_seconds
        self._slots = ConnectionSlots(limit)
        self._idle: list[ClientConnection] = []
        self._open: set[ClientConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = float("inf")
        self._is_closed = False

    async def exchange(self, request: bytes, deadline: float) -> ResponseReader:
        """Send one request and read its response, all within `deadline` seconds.

        Raises AddressRefused, NotHttp and OSError, which includes ssl.SSLError and TimeoutError.
        """
        now = asyncio.get_running_loop().time()
        due = now + deadline
        if not self._slots.try_acquire():
            async with asyncio.timeout_at(due):
                await self._slots.acquire()
        connection: ClientConnection | None = None
        try:
            connection = self._idle_connection(now)
            if connection is not None:
                try:
                    self._set_due(connection, due)
                    return await connection.exchange(request)
                except ConnectionError:
                    # A server may close an idle connection at the moment at which the next request is sent
                    # (RFC 9112 §9.3.1). The receiver recognizes a second copy by its webhook-id.
                    if not connection.is_empty:
                        raise
            connection = await self._connect(due)
            self._set_due(connection, due)
            return await connection.exchange(request)
        finally:
            self._slots.release()
            if connection is not None:
                self._keep_or_close(connection)

    async def connect(self, deadline: float) -> None:
        """Make a connection within `deadline` seconds, and keep it for the first request.

        Raises AddressRefused, ProxyRefused, OSError as `exchange`, and ValueError: no certificate can have the name.
        """
        self._keep_or_close(await self._connect(asyncio.get_running_loop().time() + deadline))

    async def aclose(self) -> None:
        """Close the idle connections now, and the others after their responses."""
        self._is_closed = True
        for connection in list(self._idle):
            connection.close()

    def _idle_connection(self, now: float) -> ClientConnection | None:
        """The connection that was used last. If load falls, the others expire and are closed."""
        while self._idle:
            connection = self._idle.pop()
            if now < connection.retire_at and connection.check_reusable():
                return connection
            connection.close()
        return None

    def _keep_or_close(self, connection: ClientConnection) -> None:
        if not connection.reusable or self._is_closed:
            connection.close()
            return
        self._idle.append(connection)
        self._set_due(connection, asyncio.get_running_loop().time() + MAX_IDLE_SECONDS)

    async def _connect(self, due: float) -> ClientConnection:
        raw: RawConnection | None = None
        try:
            async with asyncio.timeout_at(due):
                raw = await self._connector.connect(due)
                connection = await self._encrypt(raw)
        except ssl.SSLCertVerificationError as error:
            assert raw is not None
            reconnect = partial(self._connector.open_connection, raw.address, self._connector.port, due)
            # Outside the timeout: the refusal is known, even if no time is left to read the certificate.
            raise await refused_certificate(error, self._connector.host, reconnect, due=due) from error
        age = self._max_age_seconds * (1 - self._jitter() / 5)
        connection.retire_at = asyncio.get_running_loop().time() + age
        return connection

    async def _encrypt(self, raw: RawConnection) -> ClientConnection:
        host = self._connector.host
        try:
            connection = ClientConnection(
                raw.socket, self._context, host, set_due=self._set_due, on_closed=self._forget
            )
        except ValueError:  # no certificate can have this name
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

    def _set_due(self, connection: ClientConnection, due: float) -> None:
        connection.due = due
        if due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = asyncio.get_running_loop().call_at(due, self._close_expired), due

    def _close_expired(self) -> None:
        """Close the connections that are past their deadline, and set the timer to the next deadline."""
        self._timer, self._timer_due = None, float("inf")
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            if connection.due <= now:
                connection.close(TimeoutError())
        if self._open:
            soonest = min(self._open, key=lambda connection: connection.due)
            self._set_due(soonest, soonest.due)
