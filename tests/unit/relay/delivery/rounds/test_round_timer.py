"""When the rounds of the dispatcher begin, by virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hookline.relay.delivery.rounds.round_timer import RoundTimer
from simulation.event_loop import SimulatedLoop
from simulation.world import World


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await main()

    world = World(1)
    loop = SimulatedLoop(world, shuffle=0.0, job_seconds=lambda: 0.01)
    task = loop.create_task(whole())
    while not task.done():
        loop.make_timers_ready()
        if loop.has_ready:
            loop.run_one()
        else:
            assert loop.next_at < float("inf"), "it waits without end"
            world.now = loop.next_at
    assert [] == loop.errors
    task.result()


async def seconds_to_begin(timer: RoundTimer) -> float:
    loop = asyncio.get_running_loop()
    start = loop.time()
    await timer.begin()
    return round(loop.time() - start, 6)


def test_a_round_begins_at_the_earliest_requested_time() -> None:
    """In whichever order the times are requested. Each request is for one round."""

    async def main() -> None:
        timer = RoundTimer()
        for requests in ([1.0, 0.05, 0.2], [0.05, 1.0], [0.2, 0.05]):
            for seconds in requests:
                timer.request(seconds)
            assert 0.05 == await seconds_to_begin(timer)
        timer.request(3.0)
        assert 3.0 == await seconds_to_begin(timer)

    run(main)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_round_can_begin_at_once(seconds: float) -> None:
    """Also if a later one was requested before or afterwards."""

    async def main() -> None:
        timer = RoundTimer()
        timer.request(1.0)
        timer.request(seconds)
        timer.request(1.0)
        assert 0.0 == await seconds_to_begin(timer)

    run(main)


def test_a_request_during_a_wait_shortens_it() -> None:
    """A lane that has become full does not wait for the time that was requested before."""

    async def main() -> None:
        timer = RoundTimer()
        timer.request(1.0)
        asyncio.get_running_loop().call_later(0.3, timer.request, 0.0)
        assert 0.3 == await seconds_to_begin(timer)

    run(main)


def test_a_request_during_a_round_begins_another() -> None:
    """Work that arrives during a round is not lost."""

    async def main() -> None:
        timer = RoundTimer()
        timer.request(0.0)
        await timer.begin()
        timer.request(0.05)
        await asyncio.sleep(0.04)  # the round
        assert 0.01 == await seconds_to_begin(timer)

    run(main)
