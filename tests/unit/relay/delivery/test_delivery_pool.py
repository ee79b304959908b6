import asyncio
from collections.abc import Coroutine

import pytest

from hookline.relay.delivery.pool import Pool


class Connection:
    def __init__(self, number: int) -> None:
        self.number = number
        self.available = True
        self.expired = False
        self.closed = False

    def is_available(self) -> bool:
        return self.available

    def has_expired(self) -> bool:
        return self.expired

    async def aclose(self) -> None:
        self.closed = True


class Made(list[Connection]):
    """Every connection that the pool made, in order."""

    def make(self) -> Connection:
        self.append(Connection(len(self)))
        return self[-1]


def run(scenario: Coroutine[None, None, None]) -> None:
    asyncio.run(scenario)


def test_reuses_the_last() -> None:
    """The connection that was given back last is taken first; a new one is made only when none is idle."""

    async def scenario() -> None:
        made = Made()
        pool = Pool(made.make, 3)
        first, second = await pool.acquire(), await pool.acquire()
        await pool.release(first)
        await pool.release(second)
        assert second is await pool.acquire()
        assert first is await pool.acquire()
        assert made == [first, second]

    run(scenario())


def test_limit() -> None:
    """No more connections are out than the limit; who waits gets the next place, also a broken connection's."""

    async def scenario() -> None:
        made = Made()
        pool = Pool(made.make, 1)
        first = await pool.acquire()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        first.available = False
        await pool.release(first)
        second = await waiting
        assert made[1] is second
        assert first.closed

    run(scenario())


def test_cancelled_waiting() -> None:
    """Who stops waiting takes no place."""

    async def scenario() -> None:
        pool = Pool(Made().make, 1)
        first = await pool.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await pool.acquire()
        await pool.release(first)
        async with asyncio.timeout(1):
            assert first is await pool.acquire()

    run(scenario())


def test_expired() -> None:
    """An idle connection that has expired is closed and not used again, also by what comes back after it."""

    async def scenario() -> None:
        made = Made()
        pool = Pool(made.make, 3)
        connections = [await pool.acquire() for _ in range(3)]
        await pool.release(connections[0])
        connections[0].expired = True
        await pool.release(connections[1])
        assert connections[0].closed
        connections[1].expired = True
        assert made[-1] is not connections[1]
        third = await pool.acquire()
        assert connections[1].closed
        assert third is made[3]

    run(scenario())


def test_a_failing_factory_takes_no_place() -> None:
    """When no connection can be made, the place is free for the next."""

    async def scenario() -> None:
        outcomes = [True, False]

        def make() -> Connection:
            if outcomes.pop(0):
                raise OSError("no socket")
            return Connection(0)

        pool = Pool(make, 1)
        with pytest.raises(OSError, match="no socket"):
            await pool.acquire()
        async with asyncio.timeout(1):
            assert (await pool.acquire()).number == 0

    run(scenario())


def test_close() -> None:
    """Closing closes what is idle at once, and what is out when it comes back."""

    async def scenario() -> None:
        pool = Pool(Made().make, 2)
        idle, out = await pool.acquire(), await pool.acquire()
        await pool.release(idle)
        await pool.aclose()
        assert (True, False) == (idle.closed, out.closed)
        await pool.release(out)
        assert out.closed

    run(scenario())
