"""The simulated event loop and its threads, without a relay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from simulation.event_loop import SimulatedLoop
from simulation.world import World


def run(world: World, main: Callable[[], Coroutine[Any, Any, Any]], *, shuffle: float = 0.0) -> Any:
    """Run a coroutine in a simulated loop until it ends."""
    loop = SimulatedLoop(world, shuffle=shuffle, job_seconds=lambda: 0.01)
    task = loop.create_task(main())
    while not task.done():
        loop.make_timers_ready()
        if loop.has_ready:
            loop.run_one()
        else:
            world.now = loop.next_at
    assert [] == loop.errors
    return task.result()


def test_time_is_virtual() -> None:
    """A day of waiting takes no real time, and asyncio's own timeouts work."""

    async def main() -> float:
        await asyncio.sleep(24 * 3600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(World(1), main) == pytest.approx(24 * 3600 + 60)


@pytest.mark.parametrize("shuffle", [0.0, 1.0])
def test_the_choice_of_callbacks(shuffle: float) -> None:
    """Without a choice callbacks run in their order; with it the order depends on the seed alone."""

    async def main() -> list[int]:
        order: list[int] = []

        async def note(number: int) -> None:
            order.append(number)

        await asyncio.gather(*(note(number) for number in range(20)))
        return order

    first, again, other = (run(World(seed), main, shuffle=shuffle) for seed in (1, 1, 2))
    assert first == again
    assert (first == list(range(20))) is (shuffle == 0.0)
    assert (first == other) is (shuffle == 0.0)


def test_a_thread_runs_one_job_at_a_time() -> None:
    """Jobs of a pool with one thread run one after the other, and take virtual time."""
    world = World(1)
    started: list[float] = []

    async def main() -> None:
        pool = ThreadPoolExecutor(max_workers=1)
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, lambda: started.append(world.now)) for _ in range(3)))

    run(world, main)
    assert all(later - earlier >= 0.01 for earlier, later in pairwise(started))


def test_a_job_that_sleeps_takes_longer() -> None:
    """Other callbacks run while a job sleeps."""
    world = World(1)

    async def main() -> float:
        await asyncio.gather(asyncio.to_thread(world.sleep, 5.0), asyncio.sleep(1.0))
        return world.now

    assert run(world, main) == pytest.approx(5.01, abs=0.01)


def test_the_error_of_a_job() -> None:
    """An exception of a job reaches the coroutine that waits for it."""

    def fail() -> None:
        raise ValueError("in the thread")

    async def main() -> None:
        await asyncio.to_thread(fail)

    with pytest.raises(ValueError, match="in the thread"):
        run(World(1), main)


def test_a_killed_process_does_nothing_more() -> None:
    """After a kill no callback, timer or `finally` block has an effect on the loop."""
    world = World(1)
    loop = SimulatedLoop(world, shuffle=0.0, job_seconds=lambda: 0.01)
    after: list[str] = []

    async def main() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            loop.call_soon(after.append, "finally")

    loop.create_task(main())
    loop.run_one()
    loop.kill()
    assert (False, float("inf"), []) == (loop.has_ready, loop.next_at, after)
