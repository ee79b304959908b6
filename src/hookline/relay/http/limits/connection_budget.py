"""The connections that all endpoints of a relay may have open together, and a fair part of them for each endpoint.

An endpoint that hangs keeps its connections until its deadline, so nothing can be taken back from it. Half of the
budget is therefore divided between all endpoints in advance. The other half is common, with dynamic thresholds
(Choudhury and Hahne, 1998): an endpoint gets a further connection only while it holds fewer common ones than
`SHARE_OF_FREE` times the free ones (docs/decisions/0041-file-descriptors.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
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

    def __init__(self, limit: int = UNLIMITED, endpoints: Callable[[], int] = lambda: 1) -> None:
        """Create a budget. `endpoints` returns the number of endpoints that share it."""
        self.limit = limit
        self.open = 0
        self.without_descriptor = 0
        self._endpoints = endpoints
        self._holders: dict[ConnectionShare, None] = {}  # ordered, unlike a set
        self._waiting: dict[ConnectionShare, None] = {}

    @property
    def waiting(self) -> int:
        """The number of attempts that wait for a connection, or for a file descriptor."""
        return sum(share.waiting for share in self._waiting) + self.without_descriptor

    def admits(self, held: int) -> bool:
        """Whether an endpoint that holds this number of connections may open another one."""
        if self.open >= self.limit:
            return False
        endpoints = max(1, self._endpoints())
        own = max(1, self.limit // (2 * endpoints))
        common = self.limit - own * endpoints
        if held < own or held - own < SHARE_OF_FREE * (common - self.open):  # enough, even if all are common ones
            return True
        return held - own < SHARE_OF_FREE * (common - sum(max(0, one.held - own) for one in self._holders))

    def wake_one(self) -> None:
        """Wake an attempt of the endpoint with the fewest connections, if it may open one now."""
        if self._waiting:
            share = min(self._waiting, key=lambda one: one.held)
            if self.admits(share.held):
                share.wake()

    def note(self, share: ConnectionShare) -> None:
        """The share holds another number of connections, or another number of attempts waits in it."""
        for known, belongs in ((self._holders, share.held), (self._waiting, share.waiting)):
            if belongs:
                known[share] = None
            else:
                known.pop(share, None)


class ConnectionShare:
    """The part of a budget that one endpoint holds. Its attempts wait for `turns`, first come, first served."""

    def __init__(self, budget: ConnectionBudget) -> None:
        self.held = 0
        self._budget = budget
        self.turns: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self.turns)

    def try_take(self) -> bool:
        """Count a further connection, if the budget admits it."""
        if not self._budget.admits(self.held):
            return False
        self.held += 1
        self._budget.open += 1
        self._budget.note(self)
        return True

    def give_back(self) -> None:
        """A connection was closed, or not made."""
        self.held -= 1
        self._budget.open -= 1
        self._budget.note(self)
        self._budget.wake_one()

    def wake(self) -> None:
        """A connection may be open to the attempt that has waited longest."""
        while self.turns:
            turn = self.turns.popleft()
            self._budget.note(self)
            if not turn.done():
                turn.set_result(None)
                return

    async def wait(self) -> None:
        """Wait until a connection may be free. The caller tries again, because another one may be faster."""
        turn = asyncio.get_running_loop().create_future()
        self.turns.append(turn)
        self._budget.note(self)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self.turns:
                self.turns.remove(turn)
                self._budget.note(self)
            else:
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """The caller was woken and needs no connection."""
        if self.turns:
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
