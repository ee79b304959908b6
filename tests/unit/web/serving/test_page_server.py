"""The server of the pages."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from hookline.observe.log import Log
from hookline.web.serving import page_connections
from hookline.web.serving.page_server import PageEndpoint, page_socket, serve_pages


async def app(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page" * (1 if scope["path"] == "/" else 250_000)})


async def exchange(port: int, request: bytes) -> bytes:
    """What the server sends until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The port of a server of `app`."""
    ready = asyncio.Event()
    log = Log(lambda _: None, level="info", format="text", clock=lambda: 0.0)
    endpoint = PageEndpoint(listen=("127.0.0.1", 0))
    with page_socket(endpoint) as listening:
        task = asyncio.create_task(serve_pages(app, listening, endpoint, log, announce=ready.set))
        async with asyncio.timeout(60):
            await ready.wait()
            try:
                yield listening.getsockname()[1]
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await task


BIG = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BODY = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"


async def send_parts(port: int, parts: Sequence[bytes]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with these parts, each sent after the answer to the one before it. The last gets none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, part in enumerate(parts):
        if number:
            await reader.readuntil(b"0\r\n\r\n")
        writer.write(part)
    return reader, writer


@pytest.mark.anyio
@pytest.mark.parametrize("parts", [(b"",), (b"GET / HT",), (GET, b"GET / HT"), (BODY, b"x")])
async def test_silent_clients_are_disconnected(monkeypatch: pytest.MonkeyPatch, parts: Sequence[bytes]) -> None:
    """A connection that lacks the rest of a request ends by itself, also after a whole request, and without a body
    that the request announces."""
    async with serving() as port:
        reader, writer = await send_parts(port, parts)
        monkeypatch.setattr(page_connections, "CLIENT_SECONDS", 0.1)
        with suppress(ConnectionResetError):
            assert b"" == await reader.read()
        writer.close()
        monkeypatch.undo()
        assert b"page" in await exchange(port, CLOSE)


@pytest.mark.anyio
async def test_clients_that_do_not_read_are_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends requests and reads no answer does not keep its connection."""
    monkeypatch.setattr(page_connections, "CLIENT_SECONDS", 0.1)
    async with serving() as port:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            with suppress(ConnectionError):
                while True:
                    await loop.sock_sendall(client, BIG)
        assert b"page" in await exchange(port, CLOSE)


@pytest.mark.anyio
async def test_a_new_client_finds_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are too many connections, the one that has waited longest is closed, and no request is refused."""
    monkeypatch.setattr(page_connections, "MAX_PAGE_CONNECTIONS", 2)
    async with serving() as port:
        held = [await send_parts(port, (GET, b"")) for _ in range(3)]
        assert b"page" in await exchange(port, CLOSE)
        with suppress(ConnectionResetError):
            assert b"" == await held[0][0].read()
        for _, writer in held:
            writer.close()
