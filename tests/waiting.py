"""Waiting for a condition: a test fails if the condition does not hold in time."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Value = TypeVar("Value")
SECONDS_BETWEEN, MOST_SECONDS_BETWEEN = 0.02, 0.25
# A condition that takes long, such as one that asks a database, is evaluated less often, or it slows down what it
# waits for.
PAUSE_PER_SECOND = 4


def wait_until(
    condition: Callable[[], Any],
    *,
    within_seconds: float = 120.0,
    process: subprocess.Popen[Any] | None = None,
    detail: Callable[[], object] = lambda: "",
) -> Any:
    """Evaluate a condition every 20 ms until it is true, or less often if that takes long.

    Args:
        condition: its first true value is returned.
        within_seconds: the condition must be true by then.
        process: a process that must not end before the condition is true.
        detail: gives the text that explains a failure, such as a log.

    Raises:
        AssertionError: the time is over, or the process has ended.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        began = time.monotonic()
        if value := condition():
            return value
        spent = time.monotonic() - began
        assert process is None or process.poll() is None, f"the process ended: {detail()}"
        assert time.monotonic() < deadline, f"the condition did not hold within {within_seconds} s: {detail()}"
        time.sleep(min(max(SECONDS_BETWEEN, spent * PAUSE_PER_SECOND), MOST_SECONDS_BETWEEN))


async def eventually(condition: Callable[[], Awaitable[Value]], *, within_seconds: float = 30.0) -> Value:
    """Await a condition every 5 ms until its result is true; that result. Raises TimeoutError."""
    async with asyncio.timeout(within_seconds):
        while not (value := await condition()):
            await asyncio.sleep(0.005)
    return value
