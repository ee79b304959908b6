"""The processor time of TLS handshakes: their steps run in threads, and an expensive endpoint waits for its turn.

OpenSSL releases the interpreter's lock during a step, so the event loop and the other endpoints continue. An endpoint
chooses the key exchange and the certificates, and may choose those that cost the relay a hundred times more than
usual (docs/decisions/0040-handshakes-in-threads.md).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

# Of all endpoints together. A usual step takes less than a millisecond.
HANDSHAKE_THREADS: Final = 4
# Of one endpoint at the same time.
MAX_STEPS_PER_ENDPOINT: Final = 2
# The bounds of one handshake. A usual one takes 4 KiB and 0.001 s of processor time.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
MAX_HANDSHAKE_CPU_SECONDS: Final = 0.5
# A step that takes longer makes its endpoint an expensive one for this time.
EXPENSIVE_STEP_CPU_SECONDS: Final = 0.02
EXPENSIVE_SECONDS: Final = 600.0
# The part of one core that the steps of all expensive endpoints take together.
EXPENSIVE_CPU_SHARE: Final = 0.1

_EXECUTOR: Final = ThreadPoolExecutor(HANDSHAKE_THREADS, thread_name_prefix="tls")


class HandshakeRefused(ssl.SSLError):
    """The relay ended a handshake because it exceeds a bound. The text names it."""


class StepResult(NamedTuple):
    """`seconds` of processor time, and what the step raised. WantRead: it needs more bytes of the endpoint."""

    seconds: float
    error: Exception | None


class ExpensiveTurns:
    """The turns of the expensive endpoints of one relay: one step at a time, with a pause after each."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # first come, first served
        self._free_at = 0.0

    async def run(self, handshake: Callable[[], None]) -> StepResult:
        """Run a step in a thread at the next turn."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at - loop.time()))
            began = loop.time()
            taken: float | None = None
            try:
                result = await _in_thread(handshake)
                taken = result.seconds
            finally:  # a cancelled step still runs, and its processor time is not known yet
                taken = loop.time() - began if taken is None else taken
                self._free_at = loop.time() + taken * (1 / EXPENSIVE_CPU_SHARE - 1)
        return result


class HandshakeSteps:
    """Runs the steps of one endpoint's handshakes, within the bounds for one endpoint and for all of them."""

    def __init__(self, turns: ExpensiveTurns | None = None) -> None:
        self._turns = turns or ExpensiveTurns()
        self._usual = asyncio.Semaphore(MAX_STEPS_PER_ENDPOINT)
        self._one_by_one = asyncio.Semaphore(1)  # the other endpoints' steps come between two of this one
        self._expensive_until = 0.0
        self._longest_seconds = 0.0

    @property
    def is_expensive(self) -> bool:
        """Whether a step was expensive in the last EXPENSIVE_SECONDS."""
        return asyncio.get_running_loop().time() < self._expensive_until

    async def run(self, handshake: Callable[[], None]) -> StepResult:
        """Run one step in a thread. A step that has begun runs to its end, also if the caller is cancelled."""
        if self.is_expensive:
            async with self._one_by_one:
                result = await self._turns.run(handshake)
        else:
            async with self._usual:
                result = await _in_thread(handshake)
        if result.seconds > EXPENSIVE_STEP_CPU_SECONDS:
            self._expensive_until = asyncio.get_running_loop().time() + EXPENSIVE_SECONDS
            self._longest_seconds = max(self._longest_seconds, result.seconds)
        return result

    def late(self) -> HandshakeRefused:
        """The error of a handshake of an expensive endpoint that did not get all of its turns in time."""
        return HandshakeRefused(
            f"the handshakes of this endpoint wait for their turn, because one step took "
            f"{self._longest_seconds * 1000:.0f} ms of processor time"
        )


async def _in_thread(handshake: Callable[[], None]) -> StepResult:
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, _timed, handshake)


def _timed(handshake: Callable[[], None]) -> StepResult:
    began, error = time.thread_time(), None
    try:
        handshake()
    except Exception as raised:
        error = raised
    return StepResult(time.thread_time() - began, error)
