"""The client's connections. The results of requests are tested in tests/contract."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.https_server import (
    CERTIFICATE,
    DEADLINE,
    HOST,
    LOCAL,
    OK,
    Script,
    Server,
    client_context,
    post,
    posting,
    resolves_to,
    run,
    sends,
    server_context,
    serving,
    without_the_rest,
)
from hookline.relay.http import client as client_module
from hookline.relay.http.client import HttpClient
from hookline.relay.http.connection import ClientConnection
from hookline.relay.http.connector import (
    Connected,
    ConnectEvent,
    Connector,
    Encrypted,
    Resolved,
    open_connection,
)
from hookline.relay.http.exchange import Failure, FailureKind, Response
from hookline.relay.http.limits import connection_budget
from hookline.relay.http.limits.connection_budget import ConnectionBudget
from hookline.relay.http.transport import open_client
from passing_time import arrived, let_pass

REQUEST = b"POST / HTTP/1.1\r\nhost: hooks.acme.test\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def client_to(server: Server, limit: int = 4, **options: Any) -> AsyncIterator[HttpClient]:
    connector = Connector(host=HOST, port=server.port, rules=LOCAL, resolve=resolves_to("127.0.0.1"))
    client = HttpClient(connector, client_context(), limit, **options)
    try:
        yield client
    finally:
        await client.aclose()


async def status(client: HttpClient, deadline: float = DEADLINE) -> int:
    head = (await client.exchange(REQUEST, deadline)).head
    assert head is not None
    return head.status


async def sent(connection: ClientConnection) -> None:
    """Send a request. Raises the error that ends it."""
    done: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    connection.send(REQUEST, lambda _, error: done.set_result(error))
    assert not done.done()
    if (error := await done) is not None:
        raise error


def closes_at(number: int) -> Script:
    """Responds to requests, but closes the connection without a response at that one (from 1)."""
    count = 0

    async def script(writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise ConnectionAbortedError
        writer.write(OK)

    return script


def test_closed_during_a_request() -> None:
    """If a kept connection ends without a byte of a response, the result permits a resend. The client makes none."""

    async def scenario() -> None:
        async with serving(closes_at(2)) as server, posting(open_client, server.port) as transport:
            assert Response(200) == await post(transport)
            result = await post(transport)
            assert isinstance(result, Failure)
            assert result.may_resend
            assert 2 == len(server.requests)
            assert Response(200) == await post(transport)
            assert server.requests[1] == server.requests[2]
            assert 2 == server.connections

    run(scenario())


def test_closed_new_connection() -> None:
    """If a new connection ends without a response, the result is a failure and nothing is sent twice."""

    async def scenario() -> None:
        async with serving(sends(then="close")) as server, posting(open_client, server.port) as transport:
            result = await post(transport)
            assert isinstance(result, Failure)
            assert FailureKind.NETWORK is result.kind
            assert not result.may_resend
            assert 1 == len(server.requests)

    run(scenario())


def test_closed_within_a_response() -> None:
    """After the first byte of a response, the request is not sent again."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port) as transport:
            assert Response(200) == await post(transport)
            server.script = sends(b"H", then="close")
            assert isinstance(await post(transport), Failure)
            assert 2 == len(server.requests)

    run(scenario())


def test_greatest_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection beyond its maximum age is replaced by one to the name's present address."""
    monkeypatch.setattr(client_module, "MAX_IDLE_SECONDS", 600.0)

    async def scenario() -> None:
        async with (
            serving(sends(OK)) as server,
            client_to(server, max_age_seconds=300.0, jitter=lambda: 0.5) as client,
        ):
            assert [200, 200] == [await status(client) for _ in range(2)]
            assert 1 == server.connections
            let_pass(300.0)
            assert 200 == await status(client)
            assert 2 == server.connections

    run(scenario())


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection is closed after its time, without another request."""
    monkeypatch.setattr(client_module, "MAX_IDLE_SECONDS", 0.1)

    async def scenario() -> None:
        async with serving(sends(OK)) as server, client_to(server) as client:
            await asyncio.gather(*(status(client) for _ in range(3)))
            while server.open:
                await asyncio.sleep(0.01)
            assert 200 == await status(client)

    run(scenario())


def test_each_has_its_own_deadline() -> None:
    """One timer serves all requests. Each ends at its own deadline, in any order."""

    async def scenario() -> None:
        async with serving(sends(then="hang")) as server, client_to(server) as client:
            ended: list[float] = []

            async def over(deadline: float) -> None:
                with pytest.raises(TimeoutError):
                    await client.exchange(REQUEST, deadline)
                ended.append(deadline)

            waiting = asyncio.gather(*map(over, [900.0, 300.0, 600.0]))
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            for expected in ([300.0], [300.0, 600.0], [300.0, 600.0, 900.0]):
                let_pass(300.0)
                while len(ended) < len(expected):
                    await asyncio.sleep(0.01)
                await arrived()
                assert expected == ended
            await waiting

    run(scenario())


def test_the_deadline_comes_before_the_body() -> None:
    """A response counts even if its body has not arrived by the deadline."""

    async def scenario() -> None:
        slow = without_the_rest(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", deadline=60.0)
        async with serving(slow) as server, posting(open_client, server.port) as transport:
            assert Response(200) == await post(transport, 60.0)

    run(scenario())


def test_a_server_that_speaks_before_it_is_asked() -> None:
    """Bytes that arrive before the request are not its response."""

    async def scenario() -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 299 Early\r\ncontent-length: 0\r\n\r\n")
            await reader.read(1)
            writer.close()

        listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server_context())
        server = Server(sends(), port=listener.sockets[0].getsockname()[1])
        async with listener, client_to(server) as client:
            connection = await client._connect(asyncio.get_running_loop().time() + DEADLINE)
            while connection.reusable:
                await asyncio.sleep(0.01)
            with pytest.raises(ConnectionError):
                await sent(connection)

    run(scenario())


def test_a_reader_that_is_slow() -> None:
    """A request that does not fit into the socket at once is sent in parts, whole and in order."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port) as transport:
            body = bytes(range(256)) * 20_000
            assert [Response(200)] * 2 == [await post(transport, body=body) for _ in range(2)]
            assert all(request.endswith(b"\r\n\r\n" + body) for request in server.requests)
            assert 1 == server.connections

    run(scenario())


def test_cancelled_in_turn() -> None:
    """POSTs that are cancelled while they wait for a connection leave it to the others."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, client_to(server, limit=2) as client:
            tasks = [asyncio.create_task(status(client)) for _ in range(40)]
            for index, task in enumerate(tasks):
                if index % 3 == 0:
                    task.cancel()
                await asyncio.sleep(0.001 * (index % 2))
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {200} == {one for one in ended if not isinstance(one, BaseException)}
            assert {asyncio.CancelledError} >= {type(one) for one in ended if isinstance(one, BaseException)}
            assert [200, 200] == list(await asyncio.gather(status(client), status(client)))

    run(scenario())


def test_no_descriptor_is_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no file descriptor is left, the attempt waits for one beyond its deadline, and the budget shows it."""
    monkeypatch.setattr(connection_budget, "NO_DESCRIPTOR_RETRY_SECONDS", 0.1)
    budget, waiting = ConnectionBudget(), list[int]()

    async def lacking(address: str, port: int, due: float) -> socket.socket:
        waiting.append(budget.waiting)
        asyncio.get_running_loop().call_later(0.05, lambda: waiting.append(budget.waiting))
        if len(waiting) < 6:
            raise OSError(errno.EMFILE, "Too many open files")
        return await open_connection(address, port, due)

    async def scenario() -> None:
        async with serving(sends(OK)) as server:
            connector = Connector(
                host=HOST, port=server.port, rules=LOCAL, resolve=resolves_to("127.0.0.1"), open_connection=lacking
            )
            client = HttpClient(connector, client_context(), 1, budget=budget)
            assert 200 == await status(client, deadline=0.25)
            await client.aclose()

    run(scenario())
    assert [0, 1, 0, 1, 0, 1, 0] == waiting[:7]
    assert 0 == budget.open


def test_connections_are_observed() -> None:
    """The connector's observer sees each step of a connection, and nothing for a request on a kept one."""

    async def scenario() -> None:
        events: list[ConnectEvent] = []
        async with serving(sends(OK)) as server:
            connector = Connector(
                host=HOST, port=server.port, rules=LOCAL, resolve=resolves_to("127.0.0.1"), observe=events.append
            )
            client = HttpClient(connector, client_context(), 1)
            await client.connect(DEADLINE)
            assert [200, 200] == [await status(client), await status(client)]
            await client.aclose()
            assert 1 == server.connections
        assert [Resolved(("127.0.0.1",)), Connected("127.0.0.1")] == events[:2]
        (session,) = events[2:]
        assert isinstance(session, Encrypted)
        assert "TLSv1.3" == session.version
        assert session.chain[0] == ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())

    run(scenario())


def test_closing_waits_for_nobody_and_breaks_nothing() -> None:
    """A closed client closes idle connections at once. A POST in flight still gets its response."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, client_to(server) as client:
            await asyncio.gather(status(client), status(client))
            assert 2 == server.open
            server.script = slow = sends(b"HTTP/1.1 200 OK\r\n", b"content-length: 0\r\n\r\n")
            under_way = asyncio.create_task(status(client))
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            await client.aclose()
            assert 200 == await under_way
            assert server.script is slow
            while server.open:
                await asyncio.sleep(0.01)

    run(scenario())


@settings(max_examples=40)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest, st.binary(max_size=60)),
        st.builds(
            lambda rest: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + rest, st.binary(max_size=60)
        ),
    ),
    st.sampled_from(["close", "hang"]),
)
def test_nothing_gets_out(stream: bytes, then: str) -> None:
    """For any bytes of an endpoint, a POST ends in a result, and the loop has no unhandled exception."""
    unexpected: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unexpected.append(context))
        async with (
            serving(sends(stream, then=then), CONTEXT) as server,
            posting(open_client, server.port, context=TRUSTING) as transport,
        ):
            assert isinstance(await post(transport, 0.15), Response | Failure)

    run(scenario())
    gc.collect()
    assert [] == unexpected


CONTEXT: ssl.SSLContext = server_context()
TRUSTING: ssl.SSLContext = client_context()
