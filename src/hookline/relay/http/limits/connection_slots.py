"""The slots of one client: each request takes one, so that a client has at most so many requests at once."""

from __future__ import annotations

import asyncio
from collections import deque


class ConnectionSlots:
    """Like asyncio.Semaphore, first come, first served. Taking a free slot needs no coroutine, to save time.

    `waiting` has the turns of the callers that wait.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self.waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a slot if one is free and no caller waits for it."""
        if self._free and not self.waiting:
            self._free -= 1
            return True
        return False

    async def acquire(self) -> None:
        """Wait in line for a slot."""
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot was assigned before the cancellation
            elif turn in self.waiting:
                self.waiting.remove(turn)
            raise

    def release(self) -> None:
        """Return a slot. The caller that has waited longest gets it."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
