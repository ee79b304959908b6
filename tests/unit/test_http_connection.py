"""One server connection over a plain socket, with a client that sends raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hookline import http_connection as module
from hookline.http_connection import HttpConnection, HttpRequest, HttpResponse, RequestLimits
from passing_time import let_pass

pytestmark = pytest.mark.anyio

LIMITS = RequestLimits(head_bytes=8192, body_bytes=10)
Respond = Callable[[HttpConnection, HttpRequest], None]


@dataclass
class Server:
    """Every request that it got, and the number of responses by the connection itself."""

    port: int = 0
    requests: list[HttpRequest] = field(default_factory=list)
    malformed: int = 0
    connections: set[HttpConnection] = field(default_factory=set)

    def count_malformed(self) -> None:
        self.malformed += 1


def echo(connection: HttpConnection, request: HttpRequest) -> None:
    connection.respond(HttpResponse(200, (), request.path.encode()))


@asynccontextmanager
async def serving(respond: Respond = echo, limits: RequestLimits = LIMITS) -> AsyncIterator[Server]:
    server = Server()

    def received(connection: HttpConnection, request: HttpRequest) -> None:
        server.requests.append(request)
        respond(connection, request)

    def connection() -> HttpConnection:
        return HttpConnection(
            limits,
            on_request=received,
            on_open=server.connections.add,
            on_close=server.connections.discard,
            on_malformed=server.count_malformed,
        )

    listening = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for one in server.connections:
            one.abort()
        await listening.wait_closed()


async def ask(server: Server, *parts: bytes, end: bool = False) -> bytes:
    """Everything that comes back until the connection ends; a reset raises."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    if end:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_requests_are_answered_in_turn() -> None:
    """Requests on one connection arrive whole, however they are cut, and each gets its own response."""
    first = b"POST /1 HTTP/1.1\r\nHost: h\r\nX: a\r\nX: b\r\nContent-Length: 4\r\n\r\nab"
    async with serving() as server:
        got = await ask(server, first, b"cdGET /2 HTTP/1.1\r\nHost: h\r\n", b"\r\n", end=True)
    assert [b"/1", b"/2"] == [part[:2] for part in got.split(b"\r\n\r\n")[1:]]
    assert HttpRequest("POST", "/1", {"host": "h", "x": "a, b", "content-length": "4"}, b"abcd") == server.requests[0]
    assert (2, 0, set()) == (len(server.requests), server.malformed, server.connections)


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
    ],
    ids=["announced", "chunked"],
)
async def test_a_body_over_the_limit(sent: bytes) -> None:
    """It is passed on without its body as soon as that is known, and the connection ends after the response."""
    async with serving() as server:
        got = await ask(server, sent)
    assert got.startswith(b"HTTP/1.1 200 OK")
    assert [None] == [request.body for request in server.requests]


@pytest.mark.parametrize(
    ("sent", "seconds", "status"),
    [
        (b"nonsense\r\n\r\n", 600.0, b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 9000, 600.0, b"431"),
        (b"GET / HT", 0.2, b"408"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab", 0.2, b"408"),
    ],
    ids=["not HTTP", "head", "slow head", "slow body"],
)
async def test_what_the_connection_answers_itself(sent: bytes, seconds: float, status: bytes) -> None:
    """A request that is not HTTP, too long or too slow gets a status, and never reaches the server."""
    async with serving(limits=RequestLimits(head_bytes=8192, body_bytes=10, seconds=seconds)) as server:
        got = await ask(server, sent)
    assert got.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in got
    assert (1, []) == (server.malformed, server.requests)


async def test_the_second_request_has_its_own_time() -> None:
    """The limit counts from the last response, and a request that waits for its response is not given up."""

    def later(connection: HttpConnection, request: HttpRequest) -> None:
        let_pass(2 * seconds)
        asyncio.get_running_loop().call_later(seconds, echo, connection, request)
        let_pass(seconds)

    seconds = 60.0
    async with serving(later, RequestLimits(head_bytes=8192, body_bytes=10, seconds=seconds)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        got = await reader.readuntil(b"\r\n\r\n")
        let_pass(seconds)
        got += await reader.read()
        writer.close()
    assert [b"200", b"408"] == [part[:3] for part in got.split(b"HTTP/1.1 ")[1:]]


async def test_a_client_that_ends_its_side_gets_its_response() -> None:
    """The end of the client's side is not the end of the connection."""

    def later(connection: HttpConnection, request: HttpRequest) -> None:
        asyncio.get_running_loop().call_later(0.1, echo, connection, request)

    async with serving(later) as server:
        got = await ask(server, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", end=True)
        assert got.endswith(b"\r\n\r\n/a")
        assert set() == server.connections


def large(connection: HttpConnection, request: HttpRequest) -> None:
    connection.respond(HttpResponse(200, (), bytes(20_000_000), close=True))


async def test_a_slow_reader_gets_all_of_the_last_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that takes longer than the wait for the client's end is sent whole, and then the connection ends."""
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.05)
    async with serving(large) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asyncio.sleep(0.3)
        assert len(await asyncio.wait_for(reader.read(), 20)) > 20_000_000
        while server.connections:  # the client does not end its side
            await asyncio.sleep(0.01)
        writer.close()


async def test_input_behind_the_last_response() -> None:
    """Unread input does not reset the connection before the client has the response."""
    async with serving(lambda connection, _: connection.respond(HttpResponse(200, (), b"ok", close=True))) as server:
        got = await ask(server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + b"x" * 1_000_000, b"y" * 100_000)
    assert got.endswith(b"\r\n\r\nok")
