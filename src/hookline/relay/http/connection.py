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


# The receiver of a request's result: the response, or the error that ended the request.
OnEnded = Callable[["ResponseReader | BaseException"], None]
OnDone = Callable[["ClientConnection", "BaseException | None"], None]


class ClientConnection:
    """A TLS session over a connected, non-blocking socket, within one loop.

    `tls` is the session, `response` the response to the last request. The client owns `address`, the endpoint's IP
    address, `is_kept`, whether the connection was idle, so that the server may close it as a request is sent,
    `on_ended`, the receiver of the request's result, and `due` and `retire_at`, both in seconds on the loop's clock:
    when it closes the connection with a TimeoutError, and from when on it does not use the connection again.

    Args:
        connected: The socket.
        context: TLS.
        host: The name that the certificate must have.
        set_due: Called to bring `due` forward.
        on_closed: Called once, when the connection is closed by either side.

    Raises ValueError if no certificate can have the name.
    """

    __slots__ = (
        "_handshake_done", "_incoming", "_is_closed", "_is_drained", "_loop", "_on_closed", "_on_done", "_outgoing",
        "_poll", "_set_due", "_socket", "_unsent", "_write_failed", "address", "due", "is_kept", "on_ended",
        "response", "retire_at", "tls",
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
        self.response = ResponseReader.unused()
        self._on_done: OnDone | None = None
        self._unsent: bytes | memoryview = b""
        self._handshake_done = self._write_failed = self._is_closed = self._is_drained = False
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self.due = self.retire_at = float("inf")
        self.address = ""
        self.is_kept = False
        self.on_ended: OnEnded | None = None

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

    def send(self, request: bytes, on_done: OnDone) -> None:
        """Send a request while the connection is `reusable`, and read its response.

        The loop calls `on_done` once, and no method of a connection does: when the response is finished, or when its
        body takes too long. Its second argument is None if `response` has a complete head. Otherwise it is NotHttp or
        OSError, which includes ssl.SSLError, TimeoutError and PeerClosed.
        """
        self.response = ResponseReader()
        if self._is_closed:  # after the handshake and before this call
            self._loop.call_soon(on_done, self, PeerClosed("the connection was closed before the response"))
            return
        try:
            sent = self.tls.write(request)
            while sent < len(request):  # one TLS record at a time
                sent += self.tls.write(memoryview(request)[sent:])
            self._flush()
            self._on_done = on_done
        except OSError as error:
            self.close()
            self._loop.call_soon(on_done, self, error)

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request: the last one was sent and its response ended cleanly."""
        is_usable = not (self._is_closed or self._unsent or self._write_failed)
        return self.response.clean and self._handshake_done and is_usable

    @property
    def is_ready(self) -> bool:
        """Whether it is `reusable`, and no byte is left behind the response, which `on_done` has just reported."""
        return self._is_drained and self.reusable

    def check_reusable(self) -> bool:
        """Read what arrived on the idle connection, such as its end or a stray response, then return `reusable`."""
        if not self._is_closed and self._poll.poll(0):
            self._readable()
        return self.reusable

    def close(self, error: BaseException | None = None) -> None:
        """Close now. The request ends: with its response if that has a complete head, and with `error` otherwise."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._socket)
        if self._unsent:
            self._loop.remove_writer(self._socket)
        elif self._handshake_done and not self._write_failed:
            self._send_close_notify()
        self._socket.close()
        self._on_closed(self)
        on_done, self._on_done = self._on_done, None
        if on_done is not None:
            error = error or PeerClosed("the connection was closed")
            self._loop.call_soon(on_done, self, None if self.response.head is not None else error)

    def cancel(self) -> None:
        """End the request. The caller ignores its result."""
        self.close(asyncio.CancelledError())

    def _readable(self) -> None:
        """Any error ends the connection and the request. The loop sees no exception."""
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            self._is_drained = len(data) < _READ_BYTES
            is_finished = self._read(ended=not data)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, NotHttp) as error:  # ssl.SSLError is an OSError
            self.close(error)
            return
        if is_finished:
            on_done, self._on_done = self._on_done, None
            assert on_done is not None
            on_done(self, None)  # the last step, because it may send the next request

    def _read_or_close(self) -> None:
        """Read the bytes that came with the end of the handshake."""
        try:
            self._read(ended=False)
        except (OSError, NotHttp) as error:
            self.close(error)

    def _read(self, *, ended: bool) -> bool:
        """Read the plain text that is there. Returns whether a response is finished. Raises OSError and NotHttp."""
        response = self.response
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
            raise PeerClosed("the connection was closed after the response")
        if self._on_done is None:
            if not response.clean:  # the next request would take these bytes for its response
                raise NotHttp("bytes without a request")
        elif response.finished:
            return True
        elif response.head is not None and (body_due := self._loop.time() + MAX_BODY_SECONDS) < self.due:
            self._set_due(self, body_due)
        return False

    def _feed(self, plain: bytes) -> None:
        """Pass bytes to the response, except one line end that follows it on an idle connection."""
        response = self.response
        if self._on_done is not None or not response.clean or response.skip_line_end(plain):
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

    def _send_close_notify(self) -> None:
        """RFC 8446 §6.1. The relay does not wait for the endpoint's close_notify."""
        with suppress(OSError):
            try:
                self.tls.unwrap()
            except ssl.SSLWantReadError:
                self._socket.send(self._outgoing.read())
