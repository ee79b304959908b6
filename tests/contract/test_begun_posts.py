"""The conformance suite of POSTs that a transport begins without a task. A transport may begin none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from contract.https_server import (
    DEADLINE,
    HEADERS,
    OK,
    OPENERS,
    SHORT,
    Opener,
    Script,
    post,
    posting,
    run,
    sends,
    serving,
    without_address,
)
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, Response
from hookline.relay.http.transport import Transport, open_client


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


class Begun:
    """The results of begun POSTs, in the order in which they arrive. `on_result` is called before each is noted."""

    def __init__(
        self, transport: Transport, on_result: Callable[[ExchangeResult], None] = lambda result: None
    ) -> None:
        self.transport = transport
        self.results: list[ExchangeResult] = []
        self._on_result = on_result
        self._arrived = asyncio.Event()

    def begin(self, deadline: float = DEADLINE, body: bytes = b"{}", headers: object = HEADERS) -> bool:
        """Whether the POST began. Its result does not arrive within the call."""
        before = len(self.results)
        self.post = self.transport.begin(
            headers,  # type: ignore[arg-type]
            Attempt(bytes(16), body, 1, 1.0),
            deadline=deadline,
            on_result=self._receive,
        )
        assert before == len(self.results)
        return self.post is not None

    def _receive(self, result: ExchangeResult) -> None:
        self._on_result(result)
        self.results.append(result)
        self._arrived.set()

    async def until(self, number: int) -> list[ExchangeResult]:
        """The results, once there are as many."""
        async with asyncio.timeout(30):
            while len(self.results) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return self.results


# One of the transports waits for this deadline, twice.
WAITED_FOR = 4.0
LONG = pytest.mark.starts_first(8)


@pytest.mark.parametrize(
    ("script", "deadline"),
    [
        (sends(OK), DEADLINE),
        (sends(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n"), DEADLINE),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", then="hang"), WAITED_FOR, marks=LONG),
        (sends(OK[:20], OK[20:]), DEADLINE),
        (sends(OK + b"HTTP/1.1 500 Stray\r\n\r\n"), DEADLINE),
        (sends(OK, then="close"), DEADLINE),
        pytest.param(sends(b"SSH-2.0-OpenSSH\r\n"), WAITED_FOR, marks=LONG),
        (sends(b"H", then="close"), DEADLINE),
        (sends(then="close"), DEADLINE),
        (sends(then="hang"), SHORT),
    ],
    ids=[
        *("success", "Retry-After", "slow body", "split head", "stray bytes", "close after the response"),
        *("no HTTP", "close within the response", "close before the response", "timeout"),
    ],
)
def test_the_results_are_those_of_posts(script: Script, deadline: float, opener: Opener) -> None:
    """A POST that begins is the same request as one of a task, and has the same result, also if it fails."""

    async def result_of(*, begins: bool) -> tuple[ExchangeResult, bytes]:
        async with serving(sends(OK)) as server, posting(opener, server.port) as transport:
            assert Response(200) == await post(transport)
            server.script = script
            begun = Begun(transport)
            if begins and begun.begin(deadline):
                (result,) = await begun.until(1)
            else:
                assert not begins or opener is not open_client
                result = await post(transport, deadline)
            first, second = (one.replace(b":%d" % server.port, b"") for one in server.requests)
            assert first == second
            return without_address(result), second

    async def scenario() -> None:
        assert await result_of(begins=False) == await result_of(begins=True)

    run(scenario())


def test_nothing_begins_without_a_connection(opener: Opener) -> None:
    """The first POST, one with other headers, and more POSTs than idle connections need a task."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(opener, server.port) as transport:
            begun = Begun(transport)
            assert not begun.begin()
            assert Response(200) == await post(transport)
            assert not begun.begin(headers=[(b"content-type", b"text/plain")])
            assert (begun.begin(), begun.begin()) in ((True, False), (False, False))
            await begun.until(1 if opener is open_client else 0)

    run(scenario())


def test_a_result_begins_the_next_post_on_its_connection() -> None:
    """POSTs that begin in the callback of a result follow each other on the same connections, in any number."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port, connections=2) as transport:
            assert [Response(200)] * 2 == list(await asyncio.gather(post(transport), post(transport)))
            begun = Begun(transport, lambda result: None if len(begun.results) > 30 else assert_true(begun.begin()))
            assert (True, True, False) == (begun.begin(), begun.begin(), begun.begin())
            assert {Response(200)} == set(await begun.until(31))
            assert 2 == server.connections

    run(scenario())


def assert_true(value: bool) -> None:
    assert value


@pytest.mark.parametrize(
    "first",
    [OK + b"HTTP/1.1 500 Stray\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"],
    ids=["stray bytes", "closes"],
)
def test_no_post_follows_on_a_connection_that_is_not_clean(first: bytes) -> None:
    """After a response with bytes behind it, or one that announces a close, nothing goes out on its connection."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port, connections=1) as transport:
            assert Response(200) == await post(transport)
            followed: list[bool] = []
            begun = Begun(transport, lambda result: followed.append(begun.begin()))
            server.script = sends(first)
            assert begun.begin()
            assert [Response(200)] == await begun.until(1)
            assert [False] == followed
            server.script = sends(OK)
            assert Response(200) == await post(transport)
            assert 2 == server.connections

    run(scenario())


def test_a_connection_that_closes_without_an_announcement() -> None:
    """The failure permits a resend. For a while each request needs a task, which sees the end of a connection."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port) as transport:
            assert Response(200) == await post(transport)
            server.script = sends(then="close")
            begun = Begun(transport)
            assert begun.begin()
            (result,) = await begun.until(1)
            assert isinstance(result, Failure)
            assert result.may_resend
            server.script = sends(OK)
            assert Response(200) == await post(transport)
            assert not begun.begin()

    run(scenario())


def test_a_cancelled_post_closes_its_connection() -> None:
    """The connection of a cancelled POST ends at once, and its slot is free for another request."""

    async def scenario() -> None:
        async with serving(sends(OK)) as server, posting(open_client, server.port, connections=1) as transport:
            assert Response(200) == await post(transport)
            server.script = sends(then="hang")
            begun = Begun(transport)
            assert begun.begin()
            while len(server.requests) < 2:
                await asyncio.sleep(0.01)
            assert begun.post is not None
            begun.post.cancel()
            server.script = sends(OK)
            assert Response(200) == await post(transport)
            assert 2 == server.connections
            assert begun.begin()  # the endpoint did nothing wrong

    run(scenario())


def test_one_that_hangs_delays_no_other() -> None:
    """While one begun POST waits for its response, others begin and end on the other connections."""

    async def scenario() -> None:
        hang = asyncio.Event()

        async def script(writer: asyncio.StreamWriter) -> None:
            if len(server.requests) == 3:
                await hang.wait()
            writer.write(OK)

        async with serving(script) as server, posting(open_client, server.port, connections=2) as transport:
            await asyncio.gather(post(transport), post(transport))
            slow = Begun(transport)
            assert slow.begin()
            while len(server.requests) < 3:
                await asyncio.sleep(0.01)
            quick = Begun(transport, lambda result: None if len(quick.results) > 10 else assert_true(quick.begin()))
            assert quick.begin()
            assert {Response(200)} == set(await quick.until(11))
            assert [] == slow.results
            hang.set()
            assert [Response(200)] == await slow.until(1)

    run(scenario())
