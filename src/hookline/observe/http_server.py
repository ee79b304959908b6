"""The relay's monitoring server: HTTP/1.1, GET and HEAD, one request per connection, with limits."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, NamedTuple

from hookline.errors import HooklineError
from hookline.http_connection import HttpConnection, HttpRequest, HttpResponse, RequestLimits

MAX_CONNECTIONS: Final = 16
MAX_REQUEST_HEAD_BYTES: Final = 8192
REQUEST_HEAD_SECONDS: Final = 5.0
RESPONSE_SECONDS: Final = 30.0
_HINTS: Final = {
    errno.EADDRINUSE: "another process has that port; name another with --listen, or 0 as the port for any",
    errno.EACCES: "ports below 1024 are for privileged processes; name a higher one with --listen",
}


class PageResponse(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    content_type: str
    body: bytes


def text_page(status: HTTPStatus, text: str) -> PageResponse:
    """A line of text."""
    return PageResponse(status, "text/plain; charset=utf-8", f"{text}\n".encode())


PageHandler = Callable[[str, str], Awaitable[PageResponse]]
"""The page for a path, given the Accept header (empty where there is none)."""


class HttpServer:
    """Bound while entered; until `answer` is set, everything is answered by 503."""

    def __init__(self, host: str, port: int) -> None:
        """Port 0 stands for any that is free."""
        self.answer: PageHandler | None = None
        self._host = host
        self._port = port
        self._connections: set[HttpConnection] = set()
        self._responding: dict[HttpConnection, asyncio.Task[None]] = {}

    async def __aenter__(self) -> HttpServer:
        """Raises HooklineError when the address cannot be had."""
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, self._host, self._port)
        except OSError as error:
            raise HooklineError(
                f"cannot listen on {listen_address(self._host, self._port)}: {error.strerror or error}",
                hint=_HINTS.get(error.errno or 0, "name an address of this machine with --listen"),
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._responding.values():
            task.cancel()
        await asyncio.gather(*self._responding.values(), return_exceptions=True)
        for connection in self._connections:
            connection.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it is, with the port that was chosen."""
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://{listen_address(self._host, port)}"

    def _connection(self) -> HttpConnection:
        return HttpConnection(
            RequestLimits(head_bytes=MAX_REQUEST_HEAD_BYTES, body_bytes=0, seconds=REQUEST_HEAD_SECONDS),
            received=self._received,
            opened=self._opened,
            closed=self._connections.discard,
            malformed=lambda: None,
        )

    def _opened(self, connection: HttpConnection) -> None:
        self._connections.add(connection)
        # A page that is still being made counts, although its client has gone.
        if len(self._connections | self._responding.keys()) > MAX_CONNECTIONS:
            connection.abort()

    def _received(self, connection: HttpConnection, request: HttpRequest) -> None:
        task = asyncio.get_running_loop().create_task(self._respond(connection, request))
        self._responding[connection] = task
        task.add_done_callback(lambda _: self._responding.pop(connection))

    async def _respond(self, connection: HttpConnection, request: HttpRequest) -> None:
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                connection.respond(_response(await self._page(request)))
                await connection.closed.wait()
        except TimeoutError:
            connection.abort()

    async def _page(self, request: HttpRequest) -> PageResponse:
        if request.method not in ("GET", "HEAD"):
            return text_page(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are supported")
        if self.answer is None:
            return text_page(HTTPStatus.SERVICE_UNAVAILABLE, "starting")
        try:
            return await self.answer(request.path.partition("?")[0], request.headers.get("accept", ""))
        except Exception as bug:  # a fault in a page must not stop the relay
            return text_page(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error: {type(bug).__name__}: {bug}")


def _response(page: PageResponse) -> HttpResponse:
    """The only response on its connection."""
    headers = [
        ("content-type", page.content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    ]
    if page.status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("allow", "GET, HEAD"))
    return HttpResponse(page.status, tuple(headers), page.body, close=True)


def listen_address(host: str, port: int) -> str:
    """``127.0.0.1:9469``, ``[::1]:9469``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it. A name other than localhost may stand for anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
