"""A small HTTP/1.1 server for those who ask how the relay is: GET and HEAD, one request a connection, all bounded."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, NamedTuple

import h11

from hookline.errors import HooklineError

MOST_CONNECTIONS: Final = 16
HEAD_BYTES: Final = 8192
HEAD_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
_CHUNK: Final = 4096
_HINTS: Final = {
    errno.EADDRINUSE: "another process has that port; name another with --listen, or 0 as the port for any",
    errno.EACCES: "ports below 1024 are for privileged processes; name a higher one with --listen",
}


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


def plain(status: HTTPStatus, text: str) -> Page:
    """A line of text."""
    return Page(status, "text/plain; charset=utf-8", f"{text}\n".encode())


Answer = Callable[[str, str], Awaitable[Page]]
"""The page for a path, given the Accept header (empty where there is none)."""


class Listener:
    """Bound while entered; until `answer` is set, everything is answered by 503."""

    def __init__(self, host: str, port: int) -> None:
        """Port 0 stands for any that is free."""
        self.answer: Answer | None = None
        self._host = host
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Listener:
        """Raises HooklineError when the address cannot be had."""
        try:
            self._server = await asyncio.start_server(self._connected, self._host, self._port, limit=HEAD_BYTES)
        except OSError as error:
            raise HooklineError(
                f"cannot listen on {shown(self._host, self._port)}: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, "name an address of this machine with --listen"),
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is, with the port that was chosen."""
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://{shown(self._host, port)}"

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        try:
            asked = await _asked(http, reader)
            async with asyncio.timeout(ANSWER_SECONDS):
                if isinstance(asked, h11.Request):
                    writer.write(_written(http, await self._page(asked), headless=asked.method == b"HEAD"))
                elif asked is not None:
                    writer.write(_written(http, asked))
                await writer.drain()
                await _told_everything(reader, writer)
        except (OSError, TimeoutError):  # whoever asked has gone, or does not read
            pass
        finally:
            writer.transport.abort()

    async def _page(self, request: h11.Request) -> Page:
        if request.method not in (b"GET", b"HEAD"):
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD are what there is")
        if self.answer is None:
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "starting")
        accept = b", ".join(value for name, value in request.headers if name == b"accept")
        path = request.target.partition(b"?")[0].decode("latin-1")
        try:
            return await self.answer(path, accept.decode("latin-1"))
        except Exception as bug:  # whatever is wrong with a page, the relay goes on
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error: {type(bug).__name__}: {bug}")


async def _asked(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | Page | None:
    """The request, or what is answered to something else; None when nobody asked for anything."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            while (event := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await reader.read(_CHUNK))
    except h11.RemoteProtocolError as wrong:
        return plain(HTTPStatus(wrong.error_status_hint), f"not a request that is understood: {wrong}")
    except TimeoutError:
        return plain(HTTPStatus.REQUEST_TIMEOUT, "the request took too long")
    return event if isinstance(event, h11.Request) else None


def _written(http: h11.Connection, page: Page, *, headless: bool = False) -> bytes:
    """The whole answer; after it the connection is closed, whatever else was sent on it."""
    headers = [
        ("content-type", page.content_type), ("content-length", str(len(page.body))), ("connection", "close"),
        ("cache-control", "no-store"), ("x-content-type-options", "nosniff"),
    ]  # fmt: skip
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("allow", "GET, HEAD"))
    head = http.send(h11.Response(status_code=page.status, headers=headers, reason=page.status.phrase))
    return (head or b"") + (b"" if headless else page.body)


async def _told_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closing while something unread has arrived would reset the connection before the answer was read (RFC 9112
    section 9.6): so the end is announced, and the other side's is waited for a moment."""
    if writer.can_write_eof():
        writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while await reader.read(_CHUNK):
                pass


def shown(host: str, port: int) -> str:
    """``127.0.0.1:9469``, ``[::1]:9469``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than localhost may stand for anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
