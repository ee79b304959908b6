"""One TLS connection to an endpoint. It carries one request and its response at a time.

It uses the loop's `add_reader` directly, because the loop's transports and their TLS cost more than the rest of a
request (docs/decisions/0013-own-http-client.md). TLS runs over memory buffers, so this module sees and bounds every
byte. Handshakes run in threads (docs/decisions/0040-handshakes-in-threads.md); while a step of one runs, nothing else
uses the session or its buffers.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hookline.relay.http.limits.handshake_threads import (
    MAX_HANDSHAKE_BYTES,
    Handshake,
    HandshakeRefused,
    Handshakes,
)
from hookline.relay.http.request import server_name
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import ResponseReader

# A TLS record is a little longer than 16 KiB at most. One read takes no more than one record from the socket.
_READ_BYTES: Final = 17 * 1024
# The time limit for a body after its head. The connection of a slower body is closed.
MAX_BODY_SECONDS: Final = 1.0


class PeerClosed(ConnectionError):
    """The endpoint closed the connection and sent no byte of a response."""


class KeptConnectionBroke(ConnectionError):
    """A kept connection ended without a byte of the response: the server closed it as the request was sent."""

    address: str | None = None


class ClientConnection:
    """A TLS session over a connected, non-blocking socket, within one loop.

    `tls` is the session. The client owns `address`, the endpoint's IP address, `is_kept`, whether the connection was
    idle, so that the server may close it as a request is sent, and `due` and `retire_at`, both in
    seconds on the loop's clock: when it closes the connection with a TimeoutError, and from when on it does not use
    the connection again.

    Args:
        connected: The socket.
        context: TLS.
        host: The name that the certificate must have.
        set_due: Called to bring `due` forward.
        on_closed: Called once, when the connection is closed by either side.

    Raises ValueError if no certificate can have the name.
    """

    __slots__ = (
        "_handshake_done", "_incoming", "_is_closed", "_loop", "_on_closed", "_outgoing", "_poll", "_response",
        "_set_due", "_socket", "_unsent", "_waiting", "_write_failed", "address", "due", "is_kept", "retire_at",
        "tls",
    )  # fmt: skip

    def __init__(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        host: str,
        *,
        set_due: Callable[[ClientConnection, float], None],
        on_closed: Callable[[ClientConnection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connected
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name(host))
        self._set_due, self._on_closed = set_due, on_closed
        self._response = ResponseReader.unused()
        self._waiting: asyncio.Future[ResponseReader] | None = None
        self._unsent: bytes | memoryview = b""
        self._handshake_done = self._write_failed = self._is_closed = False
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self.due = self.retire_at = float("inf")
        self.address = ""
        self.is_kept = False

    async def handshake(self, handshakes: Handshakes) -> None:
        """Begin TLS and verify the endpoint's certificate. Raises OSError, which includes ssl.SSLError.

        A caller that is cancelled closes the connection.
        """
        try:
            with Handshake(handshakes) as handshake:
                await self._shake_hands(handshake)
        except OSError as error:
            self.close(error)
            raise
        self._handshake_done = True
        self._loop.add_reader(self._socket, self._readable)
        if self._incoming.pending:
            self._read_or_close()

    async def _shake_hands(self, handshake: Handshake) -> None:
        received = 0
        while True:
            error = await handshake.run(self.tls.do_handshake)
            self._flush()  # the next message, or the alert with the reason for a refusal
            if error is None:
                return
            if not isinstance(error, ssl.SSLWantReadError):
                raise error
            data = await self._loop.sock_recv(self._socket, _READ_BYTES)
            received += len(data)
            if received > MAX_HANDSHAKE_BYTES:
                most = f"{MAX_HANDSHAKE_BYTES // 1024} KiB"
                raise HandshakeRefused(f"the endpoint sent more than {most} within the handshake")
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def exchange(self, request: bytes) -> asyncio.Future[ResponseReader]:
        """Send a request while the connection is `reusable`, and read its response.

        The future is done when the response is finished, or when its body takes too long. Without a complete head
        the future raises NotHttp or OSError, which includes ssl.SSLError, TimeoutError and PeerClosed.
        """
        self._response = ResponseReader()
        waiting = self._waiting = self._loop.create_future()
        if self._is_closed:  # after the handshake and before this call
            self._settle(PeerClosed("the connection was closed before the response"))
            return waiting
        try:
            sent = self.tls.write(request)
            while sent < len(request):  # one TLS record at a time
                sent += self.tls.write(memoryview(request)[sent:])
            self._flush()
        except OSError as error:
            self.close(error)
        return waiting

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request: the last one was sent and its response ended cleanly."""
        is_usable = not (self._is_closed or self._unsent or self._write_failed)
        return self._response.clean and self._handshake_done and is_usable

    @property
    def is_empty(self) -> bool:
        """Whether no byte of the last response has arrived."""
        return self._response.is_empty

    def check_reusable(self) -> bool:
        """Read what arrived on the idle connection, such as its end or a stray response, then return `reusable`."""
        if not self._is_closed and self._poll.poll(0):
            self._readable()
        return self.reusable

    def close(self, error: BaseException | None = None) -> None:
        """Close now. A waiting caller gets the response if its head is complete, and `error` otherwise."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._socket)
        if self._unsent:
            self._loop.remove_writer(self._socket)
        elif self._handshake_done and not self._write_failed:
            self._send_close_notify()
        self._socket.close()
        self._settle(error or PeerClosed("the connection was closed"))
        self._on_closed(self)

    def _readable(self) -> None:
        """Any error ends the connection and reaches the waiting caller. The loop sees no exception."""
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            self._read(ended=not data)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, NotHttp) as error:  # ssl.SSLError is an OSError
            self.close(error)

    def _read_or_close(self) -> None:
        """Read the bytes that came with the end of the handshake."""
        try:
            self._read(ended=False)
        except (OSError, NotHttp) as error:
            self.close(error)

    def _read(self, *, ended: bool) -> None:
        response = self._response
        while True:
            try:
                plain = self.tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                plain = b""
            if not plain:
                ended = True
                break
            self._feed(plain)
            if not self._incoming.pending and not ended:
                break
        if self._outgoing.pending:  # messages of TLS itself, for example the response to a key update
            self._flush()
        if ended:
            if response.is_empty:
                raise PeerClosed("the connection was closed before the response")
            response.end()
            self.close()
        elif self._waiting is None:
            if not response.clean:
                self.close()  # bytes without a request: the next request would take them for its response
        elif response.finished:
            self._settle(None)
        elif response.head is not None and (body_due := self._loop.time() + MAX_BODY_SECONDS) < self.due:
            self._set_due(self, body_due)

    def _feed(self, plain: bytes) -> None:
        """Pass bytes to the response, except one line end that follows it on an idle connection."""
        response = self._response
        if self._waiting is not None or not response.clean or response.skip_line_end(plain):
            response.feed(plain)

    def _flush(self) -> None:
        """Send the output of TLS. If the socket is full, the rest follows when there is room."""
        before = self._unsent
        data = before or self._outgoing.read()
        while data:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                # The socket may still contain a response that was sent before. The reader finds it, or the error.
                self._write_failed, data = True, b""
                break
            if sent < len(data):
                data = memoryview(data)[sent:]
                break
            data = self._outgoing.read()
        self._unsent = data
        if data and not before:
            self._loop.add_writer(self._socket, self._flush)
        elif before and not data:
            self._loop.remove_writer(self._socket)

    def _settle(self, error: BaseException | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if error is None or self._response.head is not None:
            waiting.set_result(self._response)
        else:
            waiting.set_exception(error)

    def _send_close_notify(self) -> None:
        """RFC 8446 §6.1. The relay does not wait for the endpoint's close_notify."""
        with suppress(OSError):
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                self._socket.send(self._outgoing.read())
