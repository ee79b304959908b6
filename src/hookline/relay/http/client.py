"""The HTTP client of the hot path: it sends prepared requests to one host over persistent connections.

It implements HTTP/1.1 requests over TLS and nothing else: no redirects, cookies, content codings or 100-continue
(docs/decisions/0013-own-http-client.md).
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

from hookline.descriptors import lacks_descriptor
from hookline.relay.http.certificate_info import refused_certificate
from hookline.relay.http.connection import ClientConnection, KeptConnectionBroke, OnEnded
from hookline.relay.http.connector import Connector, RawConnection, encrypted
from hookline.relay.http.limits.connection_budget import ConnectionBudget, ConnectionShare
from hookline.relay.http.limits.connection_slots import ConnectionSlots
from hookline.relay.http.limits.handshake_threads import ExpensiveTurns, Handshakes
from hookline.relay.http.response_reader import ResponseReader

# Shorter than the 5 s after which a Node.js server closes an idle connection: a request on a closing connection is
# lost.
MAX_IDLE_SECONDS: Final = 4.0
# A name may get other addresses, so no connection is used for longer. Each connection's limit is up to a fifth lower,
# so that connections that were made together do not expire together.
MAX_AGE_SECONDS: Final = 300.0
# After an idle connection broke, each connection is looked at before it is used again.
CAREFUL_REUSE_SECONDS: Final = 10.0


class HttpClient:
    """At most `limit` connections. One timer serves all deadlines. It rarely changes, because they come in order.

    Args:
        connector: Connects to the endpoint.
        context: TLS for every connection.
        limit: The largest number of connections.
        budget: The connections of all clients.
        turns: The turns of the expensive handshakes of all clients.
        jitter: Returns numbers in [0, 1), by which the connections' ages differ.
        max_age_seconds: The age from which a connection is not used again.
    """

    def __init__(
        self,
        connector: Connector,
        context: ssl.SSLContext,
        limit: int,
        *,
        budget: ConnectionBudget | None = None,
        turns: ExpensiveTurns | None = None,
        jitter: Callable[[], float] = random.random,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        self._connector, self._context = connector, context
        self._jitter, self._max_age_seconds = jitter, max_age_seconds
        # Kept, because asyncio looks for a fork in each search for the running loop (before Python 3.12).
        self._loop = asyncio.get_running_loop()
        self._slots = ConnectionSlots(limit)
        self._share = ConnectionShare(budget or ConnectionBudget())
        self._handshakes = Handshakes(turns)
        self._idle: list[ClientConnection] = []
        self._open: set[ClientConnection] = set()
        self._ready: ClientConnection | None = None  # its response was just read, and it still has its slot
        self._careful_until = -inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = inf
        self._is_closed = False

    async def exchange(self, request: bytes, deadline: float) -> ResponseReader:
        """Send one request and read its response within `deadline` seconds, from when a connection may be used.

        A wait for the budget, or for a file descriptor, is no fault of the endpoint and does not count. Raises
        KeptConnectionBroke, AddressRefused, NotHttp and OSError, which includes ssl.SSLError and TimeoutError.
        """
        now = self._loop.time()
        if not self._slots.try_acquire():
            async with asyncio.timeout_at(now + deadline):
                await self._slots.acquire()
        try:
            if (connection := self._idle_connection(now)) is None:
                connection, now = await self._new_connection(deadline)
        except BaseException:
            self._slots.release()
            raise
        result: asyncio.Future[ResponseReader] = self._loop.create_future()
        self._send(connection, request, now + deadline, partial(_resolve, result))
        try:
            return await result
        finally:
            if result.cancelled():
                connection.cancel()

    def try_send(self, request: bytes, deadline: float, on_ended: OnEnded) -> ClientConnection | None:
        """Send one request now, if a connection is free. Otherwise return None: `exchange` can wait for one.

        `on_ended` is called once, and not before this method returns. It gets the response, or an exception that
        `exchange` would raise. If it sends the next request, that one goes out on the same connection.
        """
        now = self._loop.time()
        if now < self._careful_until:
            return None
        if (connection := self._ready) is not None and now < connection.retire_at:
            self._ready = None
        elif not self._idle or not self._slots.try_acquire():
            return None
        elif (connection := self._idle_connection(now)) is None:
            self._slots.release()
            return None
        self._send(connection, request, now + deadline, on_ended)
        return connection

    def _send(self, connection: ClientConnection, request: bytes, due: float, on_ended: OnEnded) -> None:
        self._set_due(connection, due)
        connection.on_ended = on_ended
        connection.send(request, self._ended)

    def _ended(self, connection: ClientConnection, error: BaseException | None) -> None:
        """Pass on the result of a request. The connection is ready for the next one, which may follow within."""
        on_ended, connection.on_ended = connection.on_ended, None
        assert on_ended is not None
        if error is not None:
            self._release(connection)
            on_ended(self._noted(connection, error))
            return
        if not connection.is_kept:
            self._connector.memory.note_success(connection.address)
            connection.is_kept = True
        if self._slots.waiting or self._share.turns or self._is_closed or not connection.is_ready:
            self._release(connection)
            on_ended(connection.response)
            return
        self._ready = connection
        try:
            on_ended(connection.response)
        finally:
            if self._ready is not None:
                self._ready = None
                self._release(connection)

    def _noted(self, connection: ClientConnection, error: BaseException) -> BaseException:
        """Remember the address of a failure. Returns KeptConnectionBroke if it is not at fault."""
        if connection.is_kept and isinstance(error, ConnectionError) and connection.response.is_empty:
            # A server may close an idle connection at the moment at which the next request is sent (RFC 9112 §9.3.1).
            # It has probably closed the others too, for example in a restart.
            for idle in list(self._idle):
                idle.close()
            # Or it closes connections without an announcement. The careful way gives their end time to arrive.
            self._careful_until = self._loop.time() + CAREFUL_REUSE_SECONDS
            broke = KeptConnectionBroke("the connection was closed before the response")
            broke.address, broke.__cause__ = connection.address, error
            return broke
        if isinstance(error, Exception):
            self._connector.memory.note_failure(connection.address, error)
        return error

    async def connect(self, deadline: float) -> None:
        """Make a connection within `deadline` seconds, and keep it for the first request.

        Raises AddressRefused, ProxyRefused, OSError as `exchange`, and ValueError: no certificate can have the name.
        """
        connection, _ = await self._new_connection(deadline)
        self._keep_or_close(connection)

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

    def _release(self, connection: ClientConnection) -> None:
        self._slots.release()
        self._keep_or_close(connection)

    def _keep_or_close(self, connection: ClientConnection) -> None:
        if not connection.reusable or self._is_closed:
            connection.close()
            return
        connection.is_kept = True
        self._idle.append(connection)
        self._set_due(connection, self._loop.time() + MAX_IDLE_SECONDS)
        if self._share.turns:
            self._share.wake()

    async def _new_connection(self, deadline: float) -> tuple[ClientConnection, float]:
        """A connection that was just made, or became idle during the wait, and the time at which that wait ended."""
        while True:
            if self._share.try_take():
                now = self._loop.time()
                try:
                    connection = await self._connect(now + deadline)
                except OSError as error:
                    if not lacks_descriptor(error):
                        raise
                    await self._share.wait_for_descriptors()
                    continue
                return connection, now
            await self._share.wait()
            now = self._loop.time()
            if (idle := self._idle_connection(now)) is not None:
                self._share.pass_on()
                return idle, now

    async def _connect(self, due: float) -> ClientConnection:
        """A connection for which the share was taken. It is given back if there will be no connection."""
        raw: RawConnection | None = None
        try:
            async with asyncio.timeout_at(due):
                raw = await self._connector.connect(due)
                connection = self._wrap(raw)
        except BaseException:
            if raw is not None:
                await raw.aclose()
            self._share.give_back()
            raise
        try:
            async with asyncio.timeout_at(due):
                await connection.handshake(self._handshakes)
        except BaseException as error:
            connection.close()
            await self._handshake_failed(raw, error, due)
            raise
        self._connector.observe(encrypted(connection.tls))
        age = self._max_age_seconds * (1 - self._jitter() / 5)
        connection.retire_at = self._loop.time() + age
        return connection

    def _wrap(self, raw: RawConnection) -> ClientConnection:
        """Raises ValueError if no certificate can have the endpoint's name."""
        connection = ClientConnection(
            raw.socket, self._context, self._connector.host, set_due=self._set_due, on_closed=self._forget
        )
        connection.address = raw.address
        self._open.add(connection)
        return connection

    async def _handshake_failed(self, raw: RawConnection, error: BaseException, due: float) -> None:
        """Remember the address, and raise an error that is more precise than `error`, if there is one."""
        if not isinstance(error, Exception):
            return
        self._connector.memory.note_failure(raw.address, error)
        if isinstance(error, TimeoutError) and self._handshakes.are_expensive():
            raise self._handshakes.late() from error
        if isinstance(error, ssl.SSLCertVerificationError) and self._share.try_take():
            reconnect = partial(self._connector.open_connection, raw.address, self._connector.port, due)
            try:  # outside the timeout: the refusal is known, even if no time is left to read the certificate
                refused = await refused_certificate(error, self._connector.host, reconnect, self._handshakes, due=due)
            finally:
                self._share.give_back()
            raise refused from error

    def _forget(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        self._share.give_back()
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, inf
        if connection in self._idle:
            self._idle.remove(connection)

    def _set_due(self, connection: ClientConnection, due: float) -> None:
        connection.due = due
        if due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = self._loop.call_at(due, self._close_expired), due

    def _close_expired(self) -> None:
        """Close the connections that are past their deadline, and set the timer to the next deadline."""
        self._timer, self._timer_due = None, inf
        now = self._loop.time()
        for connection in list(self._open):
            if connection.due <= now:
                connection.close(TimeoutError())
        if self._open:
            soonest = min(self._open, key=lambda connection: connection.due)
            self._set_due(soonest, soonest.due)


def _resolve(future: asyncio.Future[ResponseReader], result: ResponseReader | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
