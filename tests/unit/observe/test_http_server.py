"""The listener on a real socket, asked by raw bytes."""

from __future__ import annotations

import asyncio
import errno
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest

from hookline.errors import HooklineError
from hookline.observe import http_server as module
from hookline.observe.http_server import HttpServer, PageResponse, is_loopback, text_page
from waiting import eventually

pytestmark = pytest.mark.anyio
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def echo(path: str, accept: str) -> PageResponse:
    """Answers with what it was asked."""
    return text_page(HTTPStatus.OK, f"{path} {accept}")


@asynccontextmanager
async def listening() -> AsyncIterator[HttpServer]:
    async with HttpServer("127.0.0.1", 0) as listener:
        listener.handler = echo
        yield listener


def port_of(listener: HttpServer) -> int:
    return int(listener.url.rpartition(":")[2])


async def ask(listener: HttpServer, sent: bytes, *, end: bool = False) -> bytes:
    """Everything that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
    writer.write(sent)
    if end:
        writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_page_is_served() -> None:
    """GET answers with the page, its type and its length, and the connection ends."""
    async with listening() as listener:
        got = await ask(listener, b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept: a\r\nAccept: b\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"HTTP/1.1 200 OK" in head
    assert b"connection: close" in head
    assert b"/metrics a, b\n" == body


async def test_head_has_no_body() -> None:
    """HEAD answers with the length that GET would have, and without the page."""
    async with listening() as listener:
        got = await ask(listener, b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert got.endswith(b"\r\n\r\n")
    assert b"content-length: 3\r\n" in got


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000, b"431"),
        (b"GET /" + b"a" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", b"400"),
    ],
)
async def test_what_is_refused(sent: bytes, status: bytes) -> None:
    """Other methods, what is no HTTP, and heads without end are answered with a status, and the connection ends."""
    async with listening() as listener:
        got = await ask(listener, sent)
    assert got.startswith(b"HTTP/1.1 " + status), got[:100]


async def test_before_there_is_anything_to_tell() -> None:
    """While the relay starts, everything is 503."""
    async with listening() as listener:
        listener.handler = None
        assert b"503" in (await ask(listener, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))[:20]


async def test_a_slow_head_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a byte now and then is told so after some seconds, and let go."""
    monkeypatch.setattr(module, "REQUEST_HEAD_SECONDS", 0.1)
    async with listening() as listener:
        assert (await ask(listener, b"GET / HT")).startswith(b"HTTP/1.1 408")


async def test_who_asks_nothing_gets_nothing() -> None:
    """A connection that is opened and closed, as port checks do, is no error."""
    async with listening() as listener:
        assert b"" == await ask(listener, b"", end=True)


async def test_idle_connections_keep_nobody_out() -> None:
    """Connections are bounded, and the oldest that waits for its client makes room for the next one."""
    async with listening() as listener:
        port = port_of(listener)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3 * module.MAX_CONNECTIONS)]
        got = await ask(listener, REQUEST)
        assert got.startswith(b"HTTP/1.1 200 OK")
        assert len(listener._connections) <= module.MAX_CONNECTIONS
        with suppress(ConnectionError):
            assert b"" == await idle[0][0].read()
        for _, writer in idle:
            writer.close()


async def test_a_client_that_resets_the_connection_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port scanner that leaves between the response and its end causes no line in the log."""
    found: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))

    def write_eof(_: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    async with listening() as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(listener))
        monkeypatch.setattr(type(writer.transport), "write_eof", write_eof)
        writer.write(REQUEST)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(60):
                await reader.read()
        writer.close()
    gc.collect()
    assert [] == found


async def test_clients_that_do_not_read_keep_nobody_out() -> None:
    """A response that its client does not read makes room, too."""

    async def large(path: str, accept: str) -> PageResponse:
        return text_page(HTTPStatus.OK, "x" * 20_000_000 if path == "/large" else "small")

    async with listening() as listener:
        listener.handler = large
        port = port_of(listener)
        lazy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(module.MAX_CONNECTIONS)]
        for _, writer in lazy:
            writer.write(REQUEST.replace(b"/ ", b"/large "))
        assert b"small" in await ask(listener, REQUEST)
        for _, writer in lazy:
            writer.close()


async def test_pages_that_are_rendered_keep_their_place() -> None:
    """Pages that the relay is still working on are bounded: the next connection is closed at once."""
    finished = asyncio.Event()

    async def slow(path: str, accept: str) -> PageResponse:
        await finished.wait()
        return text_page(HTTPStatus.OK, path)

    async with listening() as listener:
        listener.handler = slow
        asking = [asyncio.create_task(ask(listener, REQUEST)) for _ in range(module.MAX_CONNECTIONS)]

        async def all_rendering() -> bool:
            return len(listener._rendering) == module.MAX_CONNECTIONS

        await eventually(all_rendering)
        with suppress(ConnectionError):
            assert b"" == await ask(listener, REQUEST)
        finished.set()
        assert all(b"200 OK" in got for got in await asyncio.gather(*asking))


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1:9469", True), ("[::1]:9469", True), ("10.1.2.3", True), ("localhost:9469", True),
        ("LOCALHOST.", True), ("relay.localhost", True), ("Relay.acme.example:80", True),
        ("attacker.example", False),
        ("attacker.example:9469", False), ("127.0.0.1.attacker.example", False),
        ("localhost.attacker.example", False),
        ("", False),
    ],
)  # fmt: skip
async def test_only_its_own_names_are_served(host: str, served: bool) -> None:
    """A request under a foreign name, as a web page of that name sends it (DNS rebinding), is refused."""
    async with HttpServer("127.0.0.1", 0, ["relay.ACME.example"]) as listener:
        listener.handler = echo
        got = await ask(listener, f"GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 200" if served else b"HTTP/1.1 421")
    assert served or b"--listen-name" in got


async def test_a_request_of_http_1_0_needs_no_host() -> None:
    """Old health checks send none, and browsers always do."""
    async with listening() as listener:
        assert b"200 OK" in await ask(listener, b"GET / HTTP/1.0\r\n\r\n")


async def test_a_page_that_fails_is_told() -> None:
    """A bug in a page is a 500 with its name, and the next page is served."""

    async def broken(path: str, accept: str) -> PageResponse:
        raise KeyError(path)

    async with listening() as listener:
        listener.handler = broken
        assert b"KeyError" in await ask(listener, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        listener.handler = echo
        assert b"200 OK" in await ask(listener, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")


async def test_a_port_in_use() -> None:
    """The second listener of a port is an error that names it, with a hint."""
    async with listening() as listener:
        with pytest.raises(HooklineError, match=f"cannot listen on 127.0.0.1:{port_of(listener)}") as refused:
            async with HttpServer("127.0.0.1", port_of(listener)):
                pass
    assert "another process uses this port" in (refused.value.hint or "")


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid"])
async def test_an_address_of_another_machine(host: str) -> None:
    """An address or a name that is not this machine's is no port in use: the hint says what to correct."""
    with pytest.raises(HooklineError, match=f"cannot listen on {host}:9469") as refused:
        async with HttpServer(host, 9469):
            pass
    assert "name an address of this machine with --listen" == refused.value.hint


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.1.2.3", False), ("hookline.example", False)],
)  # fmt: skip
async def test_loopback(host: str, loopback: bool) -> None:
    """Only addresses that no other machine can reach count as loopback."""
    assert loopback is is_loopback(host)
