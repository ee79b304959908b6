"""The two ends of a worker's socket, in one loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from hookline.relay.delivery.certificates import Certificates
from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.outcome import Answer, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.target import Target, parse_target
from hookline.relay.workers.member import Member
from hookline.relay.workers.messages import Open, Setup
from hookline.relay.workers.worker import Worker

pytestmark = pytest.mark.anyio

OPEN = Open(1, parse_target("https://hooks.acme.test/"), 4, None, None, None, None, b"")


class Keeping:
    """A poster that accepts everything once it is let go on, and keeps what it was given."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Sequence[Header]]] = []
        self.go_on = asyncio.Event()
        self.closed = 0

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> Result:
        self.sent.append((attempt.number, headers))
        await self.go_on.wait()
        return Answer(200)

    async def aclose(self) -> None:
        self.closed += 1


@asynccontextmanager
async def connected(poster: Keeping) -> AsyncIterator[tuple[Member, Worker]]:
    def opened(target: Target, certificates: Certificates, limit: int) -> Keeping:
        return poster

    ours, theirs = socket.socketpair()
    member, worker = Member(Setup("engine", (), None), lambda member: None), Worker(lambda setup: opened)
    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: worker, sock=theirs)
    await loop.create_unix_connection(lambda: member, sock=ours)
    try:
        yield member, worker
    finally:
        member.hang_up()
        await worker.over
        await worker.aclose()


async def test_each_request_has_the_headers_of_its_moment() -> None:
    """Orders that arrive at once keep their order: a token for one request only is sent with that request."""
    poster = Keeping()
    poster.go_on.set()
    async with connected(poster) as (member, _):
        tokens: list[Sequence[Header]] = [[(b"authorization", b"Bearer %d" % number)] for number in range(5)]
        posts = [
            member.post(OPEN, token, Attempt(bytes(16), b"{}", number, 0.0), 10.0, "")
            for number, token in enumerate(tokens)
        ]
        assert [Answer(200)] * 5 == await asyncio.gather(*posts)
    assert [(number, tuple(token)) for number, token in enumerate(tokens)] == poster.sent


async def test_nothing_is_kept_of_what_is_over() -> None:
    """A member counts only what is under way, also when that was cancelled; a closed poster is closed over there."""
    poster = Keeping()
    async with connected(poster) as (member, _):
        post = asyncio.create_task(member.post(OPEN, [], Attempt(bytes(16), b"{}", 1, 0.0), 10.0, ""))
        while not poster.sent:
            await asyncio.sleep(0.001)
        assert {1: 1} == member.busy
        post.cancel()
        with pytest.raises(asyncio.CancelledError):
            await post
        assert {} == member.busy
        member.close(1)
        while not poster.closed:
            await asyncio.sleep(0.001)
