"""The bounds of handshakes, with steps that use processor time."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time

import pytest

from hookline.relay.http.limits import handshake_threads
from hookline.relay.http.limits.handshake_threads import ExpensiveTurns, Handshake, HandshakeRefused, Handshakes

pytestmark = pytest.mark.anyio


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


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


async def test_a_turn_is_followed_by_a_pause() -> None:
    """All expensive steps together take at most a tenth of one core."""
    turns = ExpensiveTurns()
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        await turns.run(lambda: burn(0.01))
    assert asyncio.get_running_loop().time() - began >= 0.2


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
