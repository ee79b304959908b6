"""The bounds of handshakes, with steps that use processor time."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable

import pytest

from hookline.relay.http.limits import handshake_threads
from hookline.relay.http.limits.handshake_threads import (
    EXPENSIVE_NICENESS,
    EXPENSIVE_STEP_CPU_SECONDS,
    ExpensiveTurns,
    Handshake,
    HandshakeRefused,
    Handshakes,
)

pytestmark = pytest.mark.anyio


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first handshake of an endpoint may take long on a busy machine. The others wait for it."""
    monkeypatch.setattr(handshake_threads, "FIRST_HANDSHAKE_SECONDS", 60.0)


async def test_a_step_runs_in_a_thread() -> None:
    """A step does not run on the event loop, and its error is a result."""
    threads = list[str]()

    def step() -> None:
        threads.append(threading.current_thread().name)
        raise ssl.SSLWantReadError

    with Handshake(Handshakes()) as handshake:
        assert isinstance(await handshake.run(step), ssl.SSLWantReadError)
    assert threads[0].startswith("tls")


async def test_an_expensive_endpoint_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """After one expensive step, the endpoint's steps take turns with those of the other expensive endpoints."""
    monkeypatch.setattr(handshake_threads, "EXPENSIVE_STEP_CPU_SECONDS", 0.001)
    turns = ExpensiveTurns()
    one, other = Handshakes(turns), Handshakes(turns)
    running, together = list[int](), set[int]()

    def step() -> None:
        running.append(1)
        together.add(len(running))
        burn(0.002)
        running.pop()

    async def shake(handshakes: Handshakes) -> None:
        with Handshake(handshakes) as handshake:
            await handshake.run(step)
            await handshake.run(step)

    await shake(one)
    await shake(other)
    assert one.are_expensive()
    together.clear()
    await asyncio.gather(*(shake(each) for each in (one, other, one, other)))
    assert {1} == together
    assert "wait for their turn" in one.late().text


async def test_the_first_handshake_runs_alone() -> None:
    """Before one handshake of an endpoint has finished, its handshakes run in turn; later two at once."""
    handshakes = Handshakes()
    running, together = list[int](), list[int]()
    both = threading.Barrier(2)

    async def refused() -> None:
        with Handshake(handshakes) as handshake:
            await handshake.run(step)
            running.append(1)
            together.append(len(running))
            await asyncio.sleep(0.005)  # the endpoint's answer
            running.pop()

    def step() -> None:
        raise ssl.SSLWantReadError

    async def finish(step: Callable[[], object]) -> Exception | None:
        with Handshake(handshakes) as handshake:
            return await handshake.run(step)

    await asyncio.gather(*(refused() for _ in range(4)))
    assert [1, 1, 1, 1] == together
    assert await finish(lambda: None) is None
    assert [None, None] == await asyncio.gather(*(finish(lambda: both.wait(timeout=60)) for _ in range(2)))


async def test_a_first_handshake_that_hangs_holds_up_the_others_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for the first handshake only for FIRST_HANDSHAKE_SECONDS."""
    monkeypatch.setattr(handshake_threads, "FIRST_HANDSHAKE_SECONDS", 0.02)
    handshakes = Handshakes()
    with Handshake(handshakes) as hanging, Handshake(handshakes) as other:
        await hanging.run(lambda: time.sleep(0))
        handshakes.has_finished_one = False
        began = asyncio.get_running_loop().time()
        assert await other.run(lambda: None) is None
        assert asyncio.get_running_loop().time() - began >= 0.02


async def test_handshakes_behind_an_expensive_first_one_begin_at_their_turn() -> None:
    """64 connections to a new endpoint cost one expensive step, and not one each, before it is known."""
    handshakes = Handshakes()
    begun = list[int]()

    def first(number: int) -> None:
        begun.append(number)
        raise ssl.SSLWantReadError

    async def connect(number: int) -> None:
        with Handshake(handshakes) as handshake:
            await handshake.run(lambda: first(number))
            await handshake.run(lambda: burn(EXPENSIVE_STEP_CPU_SECONDS * 1.5))

    tasks = [asyncio.create_task(connect(number)) for number in range(64)]
    await tasks[0]
    await asyncio.sleep(0.05)
    assert len(begun) <= 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_expensive_steps_run_at_low_priority() -> None:
    """A step of an expensive endpoint leaves the processor to the event loop, where threads have priorities."""
    niceness = list[int]()

    def step() -> None:
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    await ExpensiveTurns().run(step)
    with Handshake(Handshakes()) as handshake:
        await handshake.run(step)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert ([EXPENSIVE_NICENESS, own] if sys.platform == "linux" else [own, own]) == niceness


async def test_a_turn_is_followed_by_a_pause() -> None:
    """All expensive steps together take at most a twentieth of one core."""
    turns = ExpensiveTurns()
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await turns.run(lambda: burn(0.01))
    assert asyncio.get_running_loop().time() - began >= 0.4


async def test_the_processor_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake ends with an error that names the bound once its steps took too long together."""
    monkeypatch.setattr(handshake_threads, "MAX_HANDSHAKE_CPU_SECONDS", 0.005)
    with Handshake(Handshakes()) as handshake:
        assert await handshake.run(lambda: burn(0.003)) is None
        with pytest.raises(HandshakeRefused, match="of CPU time"):
            await handshake.run(lambda: burn(0.003))


async def test_a_cancelled_handshake_leaves_its_turn() -> None:
    """A handshake that ends while it has the endpoint's turn leaves it to the next one."""
    handshakes = Handshakes()
    handshakes.note_seconds(1.0)

    async def shake(*, hangs: bool) -> None:
        with Handshake(handshakes) as handshake:
            await handshake.run(lambda: None)
            await asyncio.sleep(60 if hangs else 0)

    hanging = asyncio.create_task(shake(hangs=True))
    await asyncio.sleep(0.05)
    following = asyncio.create_task(shake(hangs=False))
    await asyncio.sleep(0.05)
    assert not following.done()
    hanging.cancel()
    await following


async def test_waiting_steps_of_an_expensive_endpoint_are_not_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many handshakes that begin together, only the first steps run before the endpoint counts as expensive."""
    monkeypatch.setattr(handshake_threads, "EXPENSIVE_STEP_CPU_SECONDS", 0.001)
    handshakes, begun = Handshakes(), list[int]()

    def step() -> None:
        begun.append(1)
        burn(0.005)

    async def shake() -> None:
        with Handshake(handshakes) as handshake:
            await handshake.run(step)

    running = [asyncio.create_task(shake()) for _ in range(40)]
    await asyncio.gather(*running[:3])
    assert len(begun) <= handshake_threads.MAX_STEPS_PER_ENDPOINT + 2
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
