"""Guards the works of one relay (crash_notes.py) against a line or a delivery that ends the process again and again.

A start after crashes without progress waits before it begins, longer after each crash. After CRASHES_BEFORE_CARE of
them, or if an item was in hand at a crash, the work is done carefully: one item after the other, each noted in the
spool first. The next start then knows which item ended the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from hookline.errors import HooklineError, SpoolStalled
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.spool.crash_notes import CrashNote
from hookline.relay.spool.spool_thread import SpoolThread

CRASHES_BEFORE_CARE: Final = 3
FIRST_START_WAIT_SECONDS: Final = 1.0
MAX_START_WAIT_SECONDS: Final = 30.0


def needs_care(note: CrashNote) -> bool:
    """Whether the work is done carefully after this start."""
    return note.crashes >= CRASHES_BEFORE_CARE or bool(note.items)


def start_wait_seconds(crashes: int) -> float:
    """How long a start waits after this number of crashes without progress."""
    if not crashes:
        return 0.0
    return float(min(FIRST_START_WAIT_SECONDS * 2 ** min(crashes - 1, 10), MAX_START_WAIT_SECONDS))


class CrashGuard:
    """The guard of one relay. `thread` is the thread of its spool."""

    def __init__(self, thread: SpoolThread, *, clock: RelayClock, log: Log) -> None:
        self.thread = thread
        self._spool = thread.spool
        self._clock = clock
        self._log = log
        self._waits: dict[str, str] = {}
        self._ending = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    @property
    def waiting(self) -> str | None:
        """Why a work has not begun yet, with its name; None if none waits."""
        return next(iter(self._waits.values()), None)

    async def count_start(self, work: str) -> CrashNote:
        """Count a start of a work, and return the note before it. No event depends on the count, so a start is left
        out if the spool cannot be written now."""
        note = CrashNote()
        with suppress(SpoolStalled):
            note = await self.thread.run_once(self._spool.count_start, work, now=self._clock.now())
        if needs_care(note):
            self._log.warning("crashed without progress, one item after the other", work=work, crashes=note.crashes)
        return note

    async def dead_letter_crashed(self, work: str) -> int:
        """Dead-letter the deliveries that were in hand at a crash. Returns their number."""
        dead = 0
        with suppress(SpoolStalled):  # the items remain for the next start
            dead = await self.thread.run_once(self._spool.dead_letter_crashed, work, now=self._clock.now())
        return dead

    async def wait(self, work: str, note: CrashNote) -> bool:
        """Wait before the work begins. Returns False if the relay ends now."""
        if seconds := start_wait_seconds(note.crashes):
            times = "once" if note.crashes == 1 else f"{note.crashes} times"
            self._waits[work] = f"{work}: crashed {times} without progress, waits {seconds:g} s"
            self._log.warning(
                "crashed without progress, start waits", work=work, crashes=note.crashes, seconds=seconds
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ending.wait()
            del self._waits[work]
        return not self._ending.is_set()

    def end_waits(self) -> None:
        """End all waits, because the relay ends."""
        self._ending.set()

    @asynccontextmanager
    async def in_hand(self, work: str, item: bytes) -> AsyncIterator[None]:
        """Process an item of a careful work, while no other item of any careful work is in hand. If the block fails,
        or the process ends in it, the item was in hand at a crash."""
        async with self._one_at_a_time:
            await self.thread.retry_while_stalled("noting", self._spool.take_in_hand, work, item)
            try:
                yield
            except asyncio.CancelledError:
                with suppress(SpoolStalled):
                    await self.thread.run_once(self._spool.take_in_hand, work, None)
                raise
            await self.thread.retry_while_stalled("noting", self._spool.take_in_hand, work, None)

    async def end(self) -> None:
        """The relay ends without a crash: on its own, by a signal, or by a fault of its machine."""
        with suppress(HooklineError):
            await self.thread.run_once(self._spool.forget_starts)
