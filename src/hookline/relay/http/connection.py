"""One TLS connection to an endpoint: one request at a time goes out, one answer comes back.

On the loop's `add_reader`, below its transports and its TLS, which cost more than all the rest of a request
(docs/decisions/0013-own-http-client.md). TLS runs over memory, so every byte passes here and is bounded here.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hookline.relay.http.request import server_name
from hookline.relay.http.response_head import NotHttp
from hookline.relay.http.response_reader import ResponseReader

# A TLS record holds at most 16 KiB and some; no more than one is taken from the socket at a time.
_READ_BYTES: Final = 17 * 1024
# What the rest of an answer may take once its head has come, in seconds. What is slower costs the connection.
BODY_SECONDS: Final = 1.0


class PeerClosed(ConnectionError):
    """The other side has closed the connection and had said nothing."""


class ClientConnection:
    """Over a connected socket that does not block, within one loop.

    `due` is for its user: when, on the loop's clock, it is to be closed with a TimeoutError. `hurry` is called to
    bring that forward, `closed` once, whoever closed it.
    """

    __slots__ = (
        "_answer", "_closed", "_expect", "_incoming", "_is_closed", "_loop", "_mute", "_outgoing", "_poll",
        "_shaken", "_socket", "_tls", "_unsent", "_waiting", "due", "retire_at",
    )  # fmt: skip

    def __init__(
        self,
        connected: socket.socket,
        context: ssl.SSLContext,
        host: str,
        *,
        hurry: Callable[[ClientConnection, float], None],
        closed: Callable[[ClientConnection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connected
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name(host))
        self._expect, self._closed = hurry, closed
        self._answer = ResponseReader.spent()
        self._waiting: asyncio.Future[ResponseReader] | None = None
        self._unsent: bytes | memoryview = b""
        self._shaken = self._mute = self._is_closed = False
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self.due = self.retire_at = float("inf")
        self._loop.add_reader(connected, self._readable)

    # -- what its user asks for

    def handshake(self) -> asyncio.Future[ResponseReader]:
        """Speak TLS from here on, with the other side's certificate verified. OSError, ssl.SSLError with it."""
        waiting = self._waiting = self._loop.create_future()
        try:
            self._shake_hands()
        except OSError as error:
            self.close(error)
        return waiting

    def exchange(self, request: bytes, *, keep: bool = False) -> asyncio.Future[ResponseReader]:
        """Send a request while `reusable`; its answer, once that is over or takes too long after its head.

        NotHttp, or OSError (ssl.SSLError, TimeoutError and HungUp with it), while there is no complete head.
        """
        self._answer = ResponseReader(keep=keep)
        waiting = self._waiting = self._loop.create_future()
        if self._is_closed:  # between its handshake and now
            self._settle(PeerClosed("the connection was closed before it"))
            return waiting
        try:
            self._send(request)
        except OSError as error:
            self.close(error)
        return waiting

    @property
    def tls(self) -> ssl.SSLObject:
        """The session, for who wants to know what was agreed on and which certificates were shown."""
        return self._tls

    @property
    def reusable(self) -> bool:
        """Whether one more request can go out: the last one did, and its answer ended where it said it would."""
        return self._answer.clean and self._shaken and not (self._is_closed or self._unsent or self._mute)

    @property
    def untouched(self) -> bool:
        """Whether not a byte of the last answer came."""
        return self._answer.untouched

    def look(self) -> bool:
        """Whether it is `reusable` by what has arrived meanwhile: the other's goodbye, or what nobody asked for."""
        if not self._is_closed and self._poll.poll(0):
            self._readable()
        return self.reusable

    def close(self, error: BaseException | None = None) -> None:
        """Close it now. Whoever waits gets `error`, or the answer when its head is complete."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._socket)
        if self._unsent:
            self._loop.remove_writer(self._socket)
        elif self._shaken and not self._mute:
            self._say_goodbye()
        self._socket.close()
        self._settle(error or PeerClosed("the connection was closed"))
        self._closed(self)

    # -- what the socket tells

    def _readable(self) -> None:
        """Nothing an endpoint can do gets out into the loop: it ends the connection, and is told to who waits."""
        try:
            data = self._socket.recv(_READ_BYTES)
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            if self._shaken:
                self._read(ended=not data)
            else:
                self._shake_hands()
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, NotHttp) as error:  # ssl.SSLError is an OSError
            self.close(error)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            return
        finally:
            self._flush()  # the next message, or the alert that says what we do not accept
        self._settle(None)
        if self._incoming.pending:
            self._read(ended=False)

    def _read(self, *, ended: bool) -> None:
        answer = self._answer
        while True:
            try:
                plain = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                plain = b""
            if not plain:
                ended = True
                break
            answer.feed(plain)
            if not self._incoming.pending and not ended:
                break
        if self._outgoing.pending:  # TLS answers for itself, to a key update for example
            self._flush()
        if ended:
            self._hang_up(answer)
        elif self._waiting is None:
            if not answer.clean:
                self.close()  # it says what nobody asked for: the next request would get that for its answer
        elif answer.over:
            self._settle(None)
        elif answer.head is not None:
            self._hurry()

    def _hang_up(self, answer: ResponseReader) -> None:
        if answer.untouched:
            raise PeerClosed("the connection was closed before it")
        answer.end()
        self.close()

    def _hurry(self) -> None:
        soon = self._loop.time() + BODY_SECONDS
        if soon < self.due:
            self._expect(self, soon)

    def _send(self, request: bytes) -> None:
        sent = self._tls.write(request)
        while sent < len(request):  # one TLS record at a time
            sent += self._tls.write(memoryview(request)[sent:])
        self._flush()

    def _flush(self) -> None:
        """Send what TLS has made, and the rest when there is room for it."""
        before = self._unsent
        data = before or self._outgoing.read()
        while data:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                # What it said before it hung up may still be in the socket. The reader finds that, or the error.
                self._mute, data = True, b""
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

    # -- who waits

    def _settle(self, error: BaseException | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None or waiting.done():
            return
        if error is None or self._answer.head is not None:
            waiting.set_result(self._answer)
        else:
            waiting.set_exception(error)

    def _say_goodbye(self) -> None:
        """RFC 8446 §6.1. The other's goodbye is not waited for."""
        with suppress(OSError):
            try:
                self._tls.unwrap()
            except ssl.SSLWantReadError:
                self._socket.send(self._outgoing.read())
