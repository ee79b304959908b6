"""The executor with one thread, on a real event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from hookline.relay.one_thread import OneThread
from waiting import eventually

pytestmark = pytest.mark.anyio


async def test_calls_run_in_their_order_in_one_thread() -> None:
    """Results reach their callers, and so do errors."""
    thread, loop = OneThread("worker"), asyncio.get_running_loop()
    order: list[tuple[int, str]] = []

    def call(number: int) -> int:
        order.append((number, threading.current_thread().name))
        return 10 // number

    futures = [loop.run_in_executor(thread, call, number) for number in (2, 0, 5)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [5, 2] == [results[0], results[2]]
    assert isinstance(results[1], ZeroDivisionError)
    assert [(2, "worker"), (0, "worker"), (5, "worker")] == order
    thread.shutdown()


async def test_a_call_of_a_cancelled_caller_runs() -> None:
    """The caller is cancelled before the call begins. The thread takes the next call afterwards."""
    thread, loop = OneThread("worker"), asyncio.get_running_loop()
    may_begin, calls = threading.Event(), list[str]()
    first = loop.run_in_executor(thread, may_begin.wait)
    second = loop.run_in_executor(thread, calls.append, "second")
    second.cancel()
    may_begin.set()
    assert await first
    await loop.run_in_executor(thread, calls.append, "third")
    assert ["second", "third"] == calls
    assert second.cancelled()
    thread.shutdown()


def test_a_result_after_the_end_of_the_loop_is_dropped() -> None:
    """The thread continues, and no error is reported."""
    thread, may_end = OneThread("worker"), threading.Event()

    async def abandon() -> None:
        asyncio.get_running_loop().run_in_executor(thread, may_end.wait)

    asyncio.run(abandon())
    may_end.set()

    async def use() -> int:
        return await asyncio.get_running_loop().run_in_executor(thread, lambda: 7)

    assert 7 == asyncio.run(use())
    thread.shutdown()


async def test_shutdown_waits_for_the_calls_so_far() -> None:
    """Without a call it has nothing to wait for."""
    OneThread("unused").shutdown()
    thread, calls = OneThread("worker"), list[int]()
    futures = [asyncio.get_running_loop().run_in_executor(thread, calls.append, number) for number in range(100)]
    thread.shutdown()
    assert list(range(100)) == calls
    await asyncio.gather(*futures)


class Group:
    """A result that can be referred to weakly."""


async def test_the_thread_keeps_no_result() -> None:
    """A group of lines is freed although the thread waits for the next call."""
    thread = OneThread("worker")
    group = await asyncio.get_running_loop().run_in_executor(thread, Group)
    reference = weakref.ref(group)
    del group

    async def is_freed() -> bool:
        return reference() is None

    assert await eventually(is_freed)
    thread.shutdown()
