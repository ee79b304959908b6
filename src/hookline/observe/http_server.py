"""The relay's monitoring server: HTTP/1.1, GET and HEAD, one request per connection, with limits."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, NamedTuple

from hookline.errors import HooklineError
from hookline.http_connection import HttpConnection, HttpRequest, HttpResponse, RequestLimits

MAX_CONNECTIONS: Final = 16
MAX_REQUEST_HEAD_BYTES: Final = 8192
REQUEST_HEAD_SECONDS: Final = 5.0
RESPONSE_SECONDS: Final = 30.0
_OTHER_HOST: Final = "the Host header names another server; start the relay with --listen-name and that name"
_HINTS: Final = {
    errno.EADDRINUSE: "another process uses this port; name another one with --listen, or port 0 for a free one",
    errno.EACCES: "ports below 1024 need privileges; name a higher one with --listen",
}


class PageResponse(NamedTuple):
    status: HTTPStatus
    content_type: str
    body: bytes


def text_page(status: HTTPStatus, text: str) -> PageResponse:
    return PageResponse(status, "text/plain; charset=utf-8", f"{text}\n".encode())


PageHandler = Callable[[str, str], Awaitable[PageResponse]]
"""Returns the page for a path and the Accept header, which is empty if the request has none."""


class HttpServer:
    """Listens while entered; port 0 is any free port. Responds with 503 until `handler` is set.

    `names` are further names by which clients call this server; see `is_own_host`.
    """

    def __init__(self, host: str, port: int, names: Iterable[str] = ()) -> None:
        self.handler: PageHandler | None = None
        self._host = host
        self._port = port
        self._names = frozenset(_plain_name(name) for name in (host, socket.gethostname(), *names))
        self._connections: dict[HttpConnection, None] = {}  # from the oldest to the newest
        self._rendering: set[HttpConnection] = set()
        self._responding: dict[HttpConnection, asyncio.Task[None]] = {}

    async def __aenter__(self) -> HttpServer:
        """Raises HooklineError if the server cannot listen on the address."""
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
        for connection in tuple(self._connections):
            connection.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        port: int = self._server.sockets[0].getsockname()[1]
        return f"http://{listen_address(self._host, port)}"

    def _connection(self) -> HttpConnection:
        return HttpConnection(
            RequestLimits(head_bytes=MAX_REQUEST_HEAD_BYTES, body_bytes=0, seconds=REQUEST_HEAD_SECONDS),
            on_request=self._received,
            on_open=self._opened,
            on_close=self._closed,
            on_malformed=lambda: None,
        )

    def _opened(self, connection: HttpConnection) -> None:
        """Makes room for a new connection: the oldest that waits for its client is closed.

        Clients that send nothing, or do not read, therefore cannot keep out the others. A page that is still being
        rendered keeps its place, even if its client has disconnected, because it takes time of the relay.
        """
        self._connections[connection] = None
        if len(self._connections.keys() | self._rendering) > MAX_CONNECTIONS:
            oldest = next(one for one in self._connections if one not in self._rendering)
            self._closed(oldest)  # `abort` takes effect in the next round of the event loop
            oldest.abort()

    def _closed(self, connection: HttpConnection) -> None:
        self._connections.pop(connection, None)

    def _received(self, connection: HttpConnection, request: HttpRequest) -> None:
        task = asyncio.get_running_loop().create_task(self._respond(connection, request))
        self._responding[connection] = task
        task.add_done_callback(lambda _: self._responding.pop(connection))

    async def _respond(self, connection: HttpConnection, request: HttpRequest) -> None:
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                self._rendering.add(connection)
                try:
                    page = await self._page(request)
                finally:
                    self._rendering.discard(connection)
                connection.respond(_response(page))
                await connection.closed.wait()
        except TimeoutError:
            connection.abort()

    async def _page(self, request: HttpRequest) -> PageResponse:
        if request.method not in ("GET", "HEAD"):
            return text_page(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are supported")
        if not is_own_host(request.headers.get("host"), self._names):
            return text_page(HTTPStatus.MISDIRECTED_REQUEST, _OTHER_HOST)
        if self.handler is None:
            return text_page(HTTPStatus.SERVICE_UNAVAILABLE, "starting")
        try:
            return await self.handler(request.path.partition("?")[0], request.headers.get("accept", ""))
        except Exception as bug:  # an error in a page must not stop the relay
            return text_page(HTTPStatus.INTERNAL_SERVER_ERROR, f"internal error: {type(bug).__name__}: {bug}")


def _response(page: PageResponse) -> HttpResponse:
    allow = (("allow", "GET, HEAD"),) if page.status is HTTPStatus.METHOD_NOT_ALLOWED else ()
    headers = (
        ("content-type", page.content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
    )
    return HttpResponse(page.status, (*headers, *allow), page.body, close=True)


def is_own_host(header: str | None, names: Iterable[str]) -> bool:
    """Whether the Host header of a request names this server.

    A web page can make a browser on this machine or in this network send requests here, under a name of its own that
    it lets resolve to this address (DNS rebinding). The browser then sends that name. An address as Host, localhost
    and the server's own `names` (in lower case) are no such names. A request of HTTP/1.0 may have no Host; browsers
    always send it.
    """
    if header is None:
        return True
    host = header.rpartition("]")[0].removeprefix("[") if header.startswith("[") else header.partition(":")[0]
    try:
        ip_address(host)
    except ValueError:
        name = _plain_name(host)
        return name == "localhost" or name.endswith(".localhost") or name in names
    return True


def _plain_name(name: str) -> str:
    return name.lower().removesuffix(".")


def listen_address(host: str, port: int) -> str:
    """``127.0.0.1:9469``, ``[::1]:9469``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host. A name other than localhost may resolve to any address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
