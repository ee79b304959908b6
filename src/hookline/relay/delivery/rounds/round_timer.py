"""The times at which the rounds of the dispatcher begin."""

from __future__ import annotations

import asyncio
import math
from typing import Final

# Between a request for work and its round, so that the round does more work at once.
GATHER_SECONDS: Final = 0.005


class RoundTimer:
    """Begins the rounds, each at the earliest time that was requested since the one before."""

    def __init__(self) -> None:
        self._is_due = asyncio.Event()
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def request(self, within_seconds: float) -> None:
        """Begin a round after at most this time."""
        if within_seconds <= 0.0:
            self._is_due.set()
        if self._is_due.is_set():
            return
        loop = asyncio.get_running_loop()
        if (at := loop.time() + within_seconds) < self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at, self._timer = at, loop.call_at(at, self._is_due.set)

    async def begin(self) -> None:
        """Wait for the next round."""
        await self._is_due.wait()
        self._is_due.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._at, self._timer = math.inf, None
