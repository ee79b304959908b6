"""The processor time of TLS handshakes: their steps run in threads, and an expensive endpoint waits for its turn.

OpenSSL releases the interpreter's lock during a step, so the event loop and the other endpoints continue. An endpoint
chooses the key exchange and the certificates, and may choose those that cost the relay a hundred times more than
usual (docs/decisions/0040-handshakes-in-threads.md).
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple, Self

# Of all endpoints together. A usual step takes less than a millisecond.
HANDSHAKE_THREADS: Final = 4
# Of one endpoint at the same time.
MAX_STEPS_PER_ENDPOINT: Final = 2
# The first handshake of an endpoint shows whether it is an expensive one. The others wait for it, at most this long.
FIRST_HANDSHAKE_SECONDS: Final = 1.0
# The bounds of one handshake. A usual one takes 4 KiB and 0.001 s of processor time.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
MAX_HANDSHAKE_CPU_SECONDS: Final = 0.5
# A step that takes longer makes its endpoint an expensive one for this time.
EXPENSIVE_STEP_CPU_SECONDS: Final = 0.02
EXPENSIVE_SECONDS: Final = 600.0
# The part of one core that the steps of all expensive endpoints take together.
EXPENSIVE_CPU_SHARE: Final = 0.05
# Such a thread gets the time that the other threads leave, and a small share of a busy core.
EXPENSIVE_NICENESS: Final = 19


def _yield_to_other_threads() -> None:
    """Lower the priority of this thread, where the system has priorities of threads (setpriority(2), "Linux")."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it; the share of a core is bounded all the same
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), EXPENSIVE_NICENESS)


_EXECUTOR: Final = ThreadPoolExecutor(HANDSHAKE_THREADS, thread_name_prefix="tls")
_EXPENSIVE_EXECUTOR: Final = ThreadPoolExecutor(
    1, thread_name_prefix="expensive-tls", initializer=_yield_to_other_threads
)


class HandshakeRefused(ssl.SSLError):
    """The relay ended a handshake because it exceeds a bound, which `text` names."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)


class StepResult(NamedTuple):
    """`seconds` of processor time, and the error that the step raised."""

    seconds: float
    error: Exception | None


class ExpensiveTurns:
    """The turns of the expensive endpoints of one relay: one step at a time, at low priority, a pause after each."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # first come, first served
        self._free_at = 0.0

    async def run(self, step: Callable[[], object]) -> StepResult:
        """Run a step in a thread at the next turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at - loop.time()))
            began = loop.time()
            taken: float | None = None
            try:
                result = await _in_thread(step, _EXPENSIVE_EXECUTOR)
                taken = result.seconds
            finally:  # a cancelled step still runs, and its processor time is not known yet
                taken = loop.time() - began if taken is None else taken
                self._free_at = loop.time() + taken * (1 / EXPENSIVE_CPU_SHARE - 1)
        return result


class Handshakes:
    """The handshakes of one endpoint, within the bounds for one endpoint and for all of them."""

    def __init__(self, turns: ExpensiveTurns | None = None) -> None:
        self.turns = turns or ExpensiveTurns()
        self.usual_step = asyncio.Semaphore(MAX_STEPS_PER_ENDPOINT)
        self.expensive_handshake = asyncio.Semaphore(1)
        self.first_handshake = asyncio.Lock()  # held by the one that runs alone, until one has finished
        self.has_finished_one = False
        self._expensive_until = 0.0
        self._longest_seconds = 0.0

    def are_expensive(self) -> bool:
        """Whether a step was expensive in the last EXPENSIVE_SECONDS."""
        return asyncio.get_running_loop().time() < self._expensive_until

    def note_seconds(self, seconds: float) -> None:
        """A step took this much processor time."""
        if seconds > EXPENSIVE_STEP_CPU_SECONDS:
            self._expensive_until = asyncio.get_running_loop().time() + EXPENSIVE_SECONDS
            self._longest_seconds = max(self._longest_seconds, seconds)

    def late(self) -> HandshakeRefused:
        """The error of a handshake of an expensive endpoint that did not get all of its turns in time."""
        milliseconds = f"{self._longest_seconds * 1000:.0f} ms"
        return HandshakeRefused(
            f"its handshakes wait for their turn, because one step took {milliseconds} of CPU time"
        )


class Handshake:
    """One handshake. It must be used as a context manager."""

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes
        self._seconds = 0.0
        self._is_alone = self._is_first = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._is_first:
            self._handshakes.first_handshake.release()
        if self._is_alone:
            self._handshakes.expensive_handshake.release()

    async def run(self, step: Callable[[], object]) -> Exception | None:
        """Run one step in a thread, and return what it raised. Raises HandshakeRefused after too much CPU time.

        A step that has begun runs to its end, also if the caller is cancelled. An expensive endpoint finishes one
        handshake after the other, so that each of its turns brings the first one nearer to its end. The first step
        of a new endpoint's handshake waits for the endpoint's first handshake.
        """
        is_first_step = not self._seconds
        if is_first_step and not self._handshakes.has_finished_one:
            await self._wait_for_first()
        result = await self._run_as_usual(step) or await self._run_alone(step)
        self._seconds += result.seconds
        if result.error is None:
            self._handshakes.has_finished_one = True
        if self._seconds > MAX_HANDSHAKE_CPU_SECONDS:
            limit = f"the limit is {MAX_HANDSHAKE_CPU_SECONDS:g} s"
            raise HandshakeRefused(f"the handshake took {self._seconds:.1f} s of CPU time; {limit}")
        return result.error

    async def _wait_for_first(self) -> None:
        """Wait until this is the endpoint's first handshake, or another one has finished, or for too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_HANDSHAKE_SECONDS):
                self._is_first = await self._handshakes.first_handshake.acquire()
        if self._is_first and self._handshakes.has_finished_one:
            self._handshakes.first_handshake.release()
            self._is_first = False

    async def _run_as_usual(self, step: Callable[[], object]) -> StepResult | None:
        """None: the endpoint is expensive, perhaps since the step began to wait."""
        if self._handshakes.are_expensive():
            return None
        async with self._handshakes.usual_step:
            if self._handshakes.are_expensive():
                return None
            result = await _in_thread(step)
            self._handshakes.note_seconds(result.seconds)  # before the next step begins
            return result

    async def _run_alone(self, step: Callable[[], object]) -> StepResult:
        if not self._is_alone:
            await self._handshakes.expensive_handshake.acquire()
            self._is_alone = True
        result = await self._handshakes.turns.run(step)
        self._handshakes.note_seconds(result.seconds)
        return result


async def _in_thread(step: Callable[[], object], executor: ThreadPoolExecutor = _EXECUTOR) -> StepResult:
    return await asyncio.get_running_loop().run_in_executor(executor, _timed, step)


def _timed(step: Callable[[], object]) -> StepResult:
    began, error = time.thread_time(), None
    try:
        step()
    except Exception as raised:
        error = raised
    return StepResult(time.thread_time() - began, error)
