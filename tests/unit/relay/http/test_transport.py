"""The relay's client as an httpx transport: bodies, headers and exceptions, which the hot path does not use."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import httpx
import pytest

from contract.https_server import HOST, LOCAL, Script, client_context, resolves_to, sends, serving
from hookline.relay.http.address_policy import AddressRefused, NetworkRules
from hookline.relay.http.httpx_transport import HttpxAdapter
from hookline.relay.http.response_reader import MAX_RESPONSE_BODY_BYTES

Use = Callable[[httpx.AsyncClient, str], Awaitable[None]]


def with_client(script: Script, use: Use, rules: NetworkRules = LOCAL) -> None:
    async def scenario() -> None:
        transport = HttpxAdapter(rules, client_context(), 2, resolves_to("127.0.0.1"))
        async with serving(script) as server, httpx.AsyncClient(transport=transport, timeout=10) as client:
            await use(client, f"https://{HOST}:{server.port}/feedback")

    asyncio.run(scenario())


def test_an_answer_with_its_body() -> None:
    """A client gets status, headers and the body as it was sent."""

    async def use(client: httpx.AsyncClient, url: str) -> None:
        answer = await client.post(url, json={"a": 1})
        assert (422, "no", "why") == (answer.status_code, answer.text, answer.headers["x-reason"])

    with_client(sends(b"HTTP/1.1 422 No\r\nX-Reason: why\r\ncontent-length: 2\r\n\r\nno"), use)


@pytest.mark.parametrize(
    ("head", "body"), [(b"content-length: 3", b"ab"), (b"content-length: 99999", b"x"), (b"x: y", b"z" * 30_000)]
)
def test_a_body_that_is_not_whole(head: bytes, body: bytes) -> None:
    """A body that breaks off, or exceeds the limit, never passes for a complete one."""

    async def use(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.ReadError, match=f"longer than {MAX_RESPONSE_BODY_BYTES // 1024} KiB"):
            await client.post(url)

    with_client(sends(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body, then="close"), use)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"content-length: 20000", 0),
        (b"x: y", MAX_RESPONSE_BODY_BYTES),
        (b"content-length: 16384", MAX_RESPONSE_BODY_BYTES),
    ],
)
def test_what_is_read_of_a_long_body(head: bytes, expected: int) -> None:
    """A body with a declared length above the limit is not read. A body without a length is read up to the limit."""

    async def use(client: httpx.AsyncClient, url: str) -> None:
        read = 0
        async with client.stream("POST", url) as answer:
            with contextlib.suppress(httpx.ReadError):
                async for part in answer.aiter_raw():
                    read += len(part)
        assert expected == read

    with_client(sends(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + b"z" * 20_000, then="close"), use)


def test_its_exceptions_are_httpxs() -> None:
    """Errors are raised as httpx's exceptions, and a refused address as AddressRefused."""

    async def not_http(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(url)

    async def too_late(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(url, timeout=0.1)

    async def not_a_post(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get(url)

    async def refused(client: httpx.AsyncClient, url: str) -> None:
        with pytest.raises(AddressRefused):
            await client.post(url)

    with_client(sends(b"220 ready\r\n\r\n"), not_http)
    with_client(sends(then="hang"), too_late)
    with_client(sends(), not_a_post)
    with_client(sends(), refused, NetworkRules())
