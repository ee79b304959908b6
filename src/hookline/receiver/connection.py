"""One client connection: HTTP/1.1 by h11 on an asyncio transport. It parses and frames; it decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import h11

from hookline.receiver.exchange import Answer, Request
from hookline.receiver.settings import BODY_LIMIT

# How long what a refused client still sends is read and dropped: closing at once would reset the connection
# before the client has read why (RFC 9112 section 9.6).
LINGER_SECONDS = 0.5


class Connection(asyncio.Protocol):
    """Hands each complete request to `received`, and takes the next only after `answer` was called for it.

    `malformed` is told of what is not HTTP; `opened` and `closed` of the connection's life.
    """

    def __init__(
        self,
        received: Callable[[Connection, Request], None],
        malformed: Callable[[], None],
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._received = received
        self._malformed = malformed
        self._opened = opened
        self._closed = closed
        self._http = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._waiting = False
        self._lingering: asyncio.TimerHandle | None = None
        self._closing = False
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.gone = True
        if self._lingering is not None:
            self._lingering.cancel()
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            return
        self._http.receive_data(data)
        if self._waiting:
            self._transport.pause_reading()  # what follows an unanswered request waits in the socket
        else:
            self._advance()

    def eof_received(self) -> None:
        if not self._waiting and self._lingering is None:
            self._http.receive_data(b"")
            self._advance()

    def finish(self) -> None:
        """End the connection as soon as nothing is waiting for an answer."""
        self._closing = True
        if not self._waiting:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def answer(self, answer: Answer) -> None:
        """Send the answer to the request in hand, and go on to the next one."""
        self._waiting = False
        if self.gone:
            return
        close = answer.close or self._closing
        self._send(answer, close=close)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._end()
            return
        self._http.start_next_cycle()
        self._transport.resume_reading()
        self._advance()

    def _advance(self) -> None:
        while not self._waiting and self._lingering is None:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error)
                return
            match event:
                case h11.Request():
                    self._begin(event)
                case h11.Data():
                    self._body += event.data
                    if len(self._body) > BODY_LIMIT:
                        self._complete(too_large=True)
                case h11.EndOfMessage():
                    self._complete()
                case h11.ConnectionClosed():
                    self._transport.close()
                    return
                case _:
                    self._continue()
                    return

    def _begin(self, head: h11.Request) -> None:
        self._head = head
        self._body.clear()
        lengths = [int(value) for name, value in head.headers if name == b"content-length"]
        if lengths and lengths[0] > BODY_LIMIT:
            self._complete(too_large=True)

    def _continue(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            self._transport.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")

    def _complete(self, *, too_large: bool = False) -> None:
        assert self._head is not None
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._waiting = True
        path = self._head.target.decode("latin-1")
        body = None if too_large else bytes(self._body)
        self._received(self, Request(self._head.method.decode("ascii"), path, headers, body))

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        self._malformed()
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            text = f"{error}\n".encode()
            self._send(Answer(error.error_status_hint, (("content-type", "text/plain"),), text), close=True)
        self._end()

    def _send(self, answer: Answer, *, close: bool) -> None:
        headers = list(answer.headers)
        if answer.status not in (204, 304):
            headers.append(("content-length", str(len(answer.body))))
        if close:
            headers.append(("connection", "close"))
        response = h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status))
        data = [self._http.send(response)]
        if answer.body and (self._head is None or self._head.method != b"HEAD"):
            data.append(self._http.send(h11.Data(data=answer.body)))
        data.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(part for part in data if part))

    def _end(self) -> None:
        if self._http.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE):
            self._transport.close()
            return
        self._transport.resume_reading()
        self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
