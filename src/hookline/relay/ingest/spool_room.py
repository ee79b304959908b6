"""Pauses reading while the spool is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from typing import Final

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.spool.spool_thread import SpoolThread

INPUT_CHECK_SECONDS: Final = 0.05
FULL_SPOOL_CHECK_SECONDS: Final = 1.0  # between checks whether any pending delivery can leave a full spool
# Reading resumes when this part of --spool-max is free.
FULL_SPOOL_ROOM: Final = 10
FULL_SPOOL_LINE_SECONDS: Final = 60.0


class SpoolRoom:
    """The room in the spool for more deliveries. `full`: it has none, so reading pauses."""

    def __init__(
        self,
        thread: SpoolThread,
        *,
        held: Callable[[], Set[Address]],
        max_pending: int,
        max_wait: float | None,
        log: Log,
    ) -> None:
        """Create it.

        Args:
            thread: Runs calls on the spool.
            held: Gives the webhooks that are disabled or paused. Called while the spool is full.
            max_pending: Pending deliveries at which reading pauses.
            max_wait: Seconds that a finite input waits for room; None for a followed input.
            log: Receives the lines about pauses.
        """
        self.full = False
        self._thread = thread
        self._spool = thread.spool
        self._held = held
        self._max_pending = max_pending
        self._max_wait = max_wait
        self._log = log
        self._full_is_logged = False
        self._next_full_line = 0.0
        self._finishing = False

    def finish(self) -> None:
        """End waits, now and from now on: lines that were read still enter the spool."""
        self._finishing = True

    async def wait(self, pending: int) -> bool:
        """Wait while the spool is full, and with it the writer of a pipe. `pending`: the pending deliveries.

        Returns False for a finite input if all pending deliveries are held, or if the backlog did not shrink for
        `max_wait` seconds.
        """
        monotonic = asyncio.get_running_loop().time
        shrank = checked = monotonic()
        resume_below = self._max_pending - self._max_pending // FULL_SPOOL_ROOM
        while pending >= (resume_below if self.full else self._max_pending) and not self._finishing:
            if not self.full:
                self.full = True
                self._report_full(pending, monotonic())
            earlier = pending
            await asyncio.sleep(INPUT_CHECK_SECONDS)
            pending = (await self._thread.run(self._spool.tally))["pending"]
            if pending < earlier:
                shrank = monotonic()
            elif self._max_wait is not None and monotonic() - checked >= FULL_SPOOL_CHECK_SECONDS:
                checked = monotonic()
                waiting = await self._thread.run(self._spool.pending)
                if checked - shrank > self._max_wait or not waiting - self._held():
                    limit = self._max_pending
                    self._log.warning("spool remains full, reading ends", pending=pending, limit=limit)
                    return False
        if self.full and pending < resume_below:
            self.full = False
            if self._full_is_logged:
                self._log.warning("reading resumes", pending=pending)
        return True

    def _report_full(self, pending: int, now: float) -> None:
        """A spool that is full again and again is reported once a minute."""
        self._full_is_logged = now >= self._next_full_line
        if self._full_is_logged:
            self._next_full_line = now + FULL_SPOOL_LINE_SECONDS
            self._log.warning("spool full, reading pauses", pending=pending, limit=self._max_pending)
