"""The connections that all endpoints of a relay may have open together, and a fair part of them for each endpoint.

An endpoint that hangs keeps its connections until its deadline. With dynamic thresholds (Choudhury and Hahne, 1998),
an endpoint gets a further connection only while it holds fewer than `SHARE_OF_FREE` times the connections that are
still free. A few hanging endpoints can then use most of the budget, many can use only a small part each, and some
connections always remain for an endpoint that has none (docs/decisions/0041-file-descriptors.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from hookline.descriptors import NO_DESCRIPTOR_RETRY_SECONDS

SHARE_OF_FREE: Final = 2
# `hookline check` and tests, which open few connections.
UNLIMITED: Final = 1_000_000


class ConnectionBudget:
    """Counts the open connections of all endpoints.

    Attributes:
        limit: The largest number of open connections.
        open: Their present number.
        without_descriptor: The number of attempts that found no file descriptor and will try again.
    """

    def __init__(self, limit: int = UNLIMITED) -> None:
        self.limit = limit
        self.open = 0
        self.without_descriptor = 0
        self._waiting: dict[ConnectionShare, None] = {}  # ordered, unlike a set

    @property
    def waiting(self) -> int:
        """The number of attempts that wait for a connection, or for a file descriptor."""
        return sum(share.waiting for share in self._waiting) + self.without_descriptor

    def admits(self, held: int) -> bool:
        """Whether an endpoint that holds this number of connections may open another one."""
        return held < SHARE_OF_FREE * (self.limit - self.open)

    def wake_one(self) -> None:
        """Wake an attempt of the endpoint with the fewest connections, if it may open one now."""
        if self._waiting:
            share = min(self._waiting, key=lambda one: one.held)
            if self.admits(share.held):
                share.wake()

    def note_waiting(self, share: ConnectionShare) -> None:
        if share.waiting:
            self._waiting[share] = None
        else:
            self._waiting.pop(share, None)


class ConnectionShare:
    """The part of a budget that one endpoint holds. Its attempts wait here, first come, first served."""

    def __init__(self, budget: ConnectionBudget) -> None:
        self.held = 0
        self._budget = budget
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._turns)

    def try_take(self) -> bool:
        """Count a further connection, if the budget admits it."""
        if not self._budget.admits(self.held):
            return False
        self.held += 1
        self._budget.open += 1
        return True

    def give_back(self) -> None:
        """A connection was closed, or not made."""
        self.held -= 1
        self._budget.open -= 1
        self._budget.wake_one()

    def wake(self) -> None:
        """A connection may be open to the attempt that has waited longest."""
        while self._turns:
            turn = self._turns.popleft()
            self._budget.note_waiting(self)
            if not turn.done():
                turn.set_result(None)
                return

    async def wait(self) -> None:
        """Wait until a connection may be free. The caller tries again, because another one may be faster."""
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self._budget.note_waiting(self)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._turns:
                self._turns.remove(turn)
                self._budget.note_waiting(self)
            else:
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """The caller was woken and needs no connection."""
        if self._turns:
            self.wake()
        else:
            self._budget.wake_one()

    async def wait_for_descriptors(self) -> None:
        """Wait before the next try, after no file descriptor was left."""
        self._budget.without_descriptor += 1
        try:
            await asyncio.sleep(NO_DESCRIPTOR_RETRY_SECONDS)
        finally:
            self._budget.without_descriptor -= 1
