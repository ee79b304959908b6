"""One HTTP/1.1 connection of a server: h11 on an asyncio transport, with limits. It parses and frames.

`hookline receive` and the relay's monitoring server use it. They decide which responses to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import h11

# After the last response, further input is read and dropped for this long. Closing at once would reset the connection
# before the client has read the response (RFC 9112 section 9.6).
LINGER_SECONDS: Final = 0.5
_REASONS: Final[Mapping[int, str]] = {status: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """`seconds`: from the connection, or from the last response, until a request is complete. None: no limit."""

    head_bytes: int
    body_bytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`headers` has lower-case names, repeated ones joined by a comma. `body` None is a body over the limit."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """`close`: the connection ends with this response. ``content-length`` and ``connection`` are added."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    close: bool = False


class HttpConnection(asyncio.Protocol):
    """Passes each request to `on_request`, and reads the next one only after `respond` was called.

    The connection itself answers a request that is not HTTP, has too large a head or takes too long (400, 431, 408),
    and then ends.

    Args:
        limits: The limits of a request.
        on_request: Called with each complete request, and as soon as its body exceeds the limit.
        on_open: Called once, when the client has connected.
        on_close: Called once, when the connection is closed.
        on_malformed: Called when the connection itself answered a request.
    """

    def __init__(
        self,
        limits: RequestLimits,
        *,
        on_request: Callable[[HttpConnection, HttpRequest], None],
        on_open: Callable[[HttpConnection], None],
        on_close: Callable[[HttpConnection], None],
        on_malformed: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._on_request, self._on_malformed = on_request, on_malformed
        self._on_open, self._on_close = on_open, on_close
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._waiting = False  # for `respond`
        self._dropping = False  # the last response was sent: input is dropped
        self._ended = False  # the client sends no more
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed = asyncio.Event()  # set when nothing can be sent any more

    # -- for the server

    def respond(self, response: HttpResponse) -> None:
        """Send the response to the current request, and continue with the next one."""
        self._waiting = False
        if self.closed.is_set():
            return
        self._send(response, close=response.close or self._closing)
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            self._end()
            return
        self._http.start_next_cycle()
        self._start_timer()
        self._transport.resume_reading()
        self._advance()

    def finish(self) -> None:
        """End the connection as soon as no request waits for a response."""
        self._closing = True
        if not self._waiting:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._start_timer()
        self._on_open(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.closed.set()
        self._stop_timer()
        self._on_close(self)

    def data_received(self, data: bytes) -> None:
        if self._dropping:
            return
        self._http.receive_data(data)
        if self._waiting:
            self._transport.pause_reading()  # the bytes after an unanswered request remain in the socket
        else:
            self._advance()

    def eof_received(self) -> bool:
        self._ended = True
        if self._dropping:
            return False
        self._http.receive_data(b"")
        if self._waiting:
            return self._transport.can_write_eof()  # the client still reads; TLS has no half-closed connections
        self._advance()
        return False

    # -- reading

    def _advance(self) -> None:
        while not self._waiting and not self._dropping:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, f"not an HTTP/1.1 request: {error}")
                return
            match event:
                case h11.Request():
                    self._begin(event)
                case h11.Data():
                    self._body += event.data
                    if len(self._body) > self._limits.body_bytes:
                        self._complete(too_large=True)
                case h11.EndOfMessage():
                    self._complete()
                case h11.ConnectionClosed():
                    self._transport.close()
                    return
                case _:
                    if self._http.they_are_waiting_for_100_continue:
                        proceed = h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[])
                        self._transport.write(self._http.send(proceed) or b"")
                    return

    def _begin(self, head: h11.Request) -> None:
        self._head = head
        self._body.clear()
        lengths = [int(value) for name, value in head.headers if name == b"content-length"]
        if lengths and lengths[0] > self._limits.body_bytes:
            self._complete(too_large=True)

    def _complete(self, *, too_large: bool = False) -> None:
        assert self._head is not None
        self._stop_timer()
        headers: dict[str, str] = {}
        for raw_name, raw_value in self._head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self._waiting = True
        path = self._head.target.decode("latin-1")
        body = None if too_large else bytes(self._body)
        self._on_request(self, HttpRequest(self._head.method.decode("ascii"), path, headers, body))

    def _refuse(self, status: int, reason: str) -> None:
        self._on_malformed()
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = (("content-type", "text/plain; charset=utf-8"),)
            self._send(HttpResponse(status, headers, f"{reason}\n".encode()), close=True)
        self._end()

    # -- writing and ending

    def _send(self, response: HttpResponse, *, close: bool) -> None:
        headers = list(response.headers)
        if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers.append(("content-length", str(len(response.body))))
        if close:
            headers.append(("connection", "close"))
        head = h11.Response(status_code=response.status, headers=headers, reason=_REASONS.get(response.status, ""))
        data = [self._http.send(head)]
        if response.body and (self._head is None or self._head.method != b"HEAD"):
            data.append(self._http.send(h11.Data(data=response.body)))
        data.append(self._http.send(h11.EndOfMessage()))
        self._transport.write(b"".join(part for part in data if part))

    def _end(self) -> None:
        """Announce the end where the transport can. Close once the client has ended, or after LINGER_SECONDS."""
        self._stop_timer()
        half_closes = self._transport.can_write_eof()
        if self._ended or (not half_closes and self._http.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE)):
            self._transport.close()
            return
        self._dropping = True
        if half_closes:
            try:
                self._transport.write_eof()
            except OSError:  # the client has reset the connection
                self._transport.abort()
                return
        self._transport.resume_reading()
        # `close` sends the rest of the response first.
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def _start_timer(self) -> None:
        if self._limits.seconds is not None:
            late = HTTPStatus.REQUEST_TIMEOUT, "the request took too long"
            self._timer = asyncio.get_running_loop().call_later(self._limits.seconds, self._refuse, *late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
