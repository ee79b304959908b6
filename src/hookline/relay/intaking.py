"""From the sources into the spool: reads a group of lines while the one before it is written."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from itertools import groupby
from typing import Final

from hookline.observe.log import Log
from hookline.relay.applied import Applied
from hookline.relay.clock import RelayClock
from hookline.relay.dispatch import Dispatcher
from hookline.relay.intake import take, take_again
from hookline.relay.sources.port import Batch, LineSource
from hookline.relay.spool.port import Intake, Rereading
from hookline.relay.spoolthread import SpoolThread

SUSPICIOUS_LINES: Final = 1000
LOOK_SECONDS: Final = 0.05
STILL_SECONDS: Final = 1.0  # between two looks at which webhooks a full spool is full of
AT_A_TIME: Final = 500


class HowRead(Enum):
    """Why no more is read. NO_ROOM: the spool is full, and stays so."""

    WHOLE = auto()
    WRONG_FORMAT = auto()
    NO_ROOM = auto()


class Intaking:
    """Of one run. `most` is how many deliveries may be pending before reading pauses; `window` is in seconds.
    `patience` is how many seconds an input that has an end waits for room in the spool, None for one that has none.

    `full`: reading pauses at the moment for want of room in the spool.
    """

    def __init__(
        self,
        source: LineSource | None,
        applied: Applied,
        dispatcher: Dispatcher,
        thread: SpoolThread,
        *,
        window: float,
        most: int,
        patience: float | None,
        clock: RelayClock,
        log: Log,
    ) -> None:
        self.source = source
        self.full = False
        self._applied = applied
        self._dispatcher = dispatcher
        self._thread = thread
        self._spool = thread.spool
        self._window = window
        self._most = most
        self._patience = patience
        self._clock = clock
        self._log = log
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._again = asyncio.Lock()
        self._finishing = False
        self._lines = 0
        self._any_readable = False
        # Of a batch that did not fit into one transaction, and the index of the line to go on with.
        self._left: tuple[Batch, int] | None = None

    def finish(self) -> None:
        """Take nothing more out of the sources; what was taken already still goes into the spool."""
        self._finishing = True
        if self.source is not None:
            self.source.finish()

    async def run(self) -> HowRead:
        """Read until the end of all sources, or until told to finish.

        Raises SpoolUnusable when the spool is damaged, HooklineError when a source cannot be read.
        """
        await self.read_again()
        if self.source is None:
            return HowRead.WHOLE
        pending = (await self._thread.call(self._spool.tally))["pending"]
        reading = self._read_ahead(self.source)
        try:
            while True:
                if not await self._room(pending):
                    return HowRead.NO_ROOM
                intake, end = await reading
                if not end:
                    reading = self._read_ahead(self.source)
                if intake.read or intake.position is not None:
                    pending = await self._append(intake)
                if self._looks_wrong(intake):
                    return HowRead.WRONG_FORMAT
                if end:
                    self._tell_unfinished(self.source)
                    return HowRead.WHOLE
        finally:
            await asyncio.wait([reading])

    def _read_ahead(self, source: LineSource) -> asyncio.Future[tuple[Intake, bool]]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._next_intake, source)

    def _next_intake(self, source: LineSource) -> tuple[Intake, bool]:
        """In the reader's thread."""
        batch, start = self._left or (source.read(), 0)
        intake, taken = take(batch, self._applied.reading, start)
        self._left = (batch, start + taken) if start + taken < len(batch.lines) else None
        return intake, batch.end and self._left is None

    async def read_again(self) -> None:
        """Rejected lines that `dead replay` put back: their cause may be gone."""
        async with self._again:
            while lines := await self._thread.call(self._spool.to_read_again, limit=AT_A_TIME):
                for source, group in groupby(lines, key=lambda one: one.source):
                    await self._take_again(list(group), source)

    async def _take_again(self, lines: list[Rereading], source: str) -> None:
        while lines:
            intake, taken = take_again(lines, source, self._applied.reading)
            await self._append(intake)
            del lines[:taken]

    async def _append(self, intake: Intake) -> int:
        pending = await self._thread.insist("reading", self._store, intake)
        self._dispatcher.arrived({taken.delivery.address for taken in intake.deliveries})
        for refused in intake.rejected:
            self._log.info("rejected", source=intake.source, line=refused.line.number, reason=refused.reason)
        return pending

    def _store(self, intake: Intake) -> int:
        """In the spool's thread. The duplicate window reaches back from the cautious time: a clock that was set
        forward does not end it."""
        now = self._clock.now()
        window = self._window + now - self._clock.cautious_now()
        return self._spool.append(intake, now=now, dedupe_window=window)

    def _looks_wrong(self, intake: Intake) -> bool:
        self._lines += intake.read
        self._any_readable |= len(intake.rejected) < intake.read
        return not self._any_readable and self._lines >= SUSPICIOUS_LINES

    async def _room(self, pending: int) -> bool:
        """A full spool stops reading for all; the pipe's writer waits, a file's position stays. False: an input that
        has an end waits in vain, since all that is pending is held, or nothing was settled for too long."""
        even = asyncio.get_running_loop().time
        moved = looked = even()
        while pending >= self._most and not self._finishing:
            if not self.full:
                self.full = True
                self._log.warning("spool full, reading pauses", pending=pending, most=self._most)
            before = pending
            await asyncio.sleep(LOOK_SECONDS)
            pending = (await self._thread.call(self._spool.tally))["pending"]
            if pending < before:
                moved = even()
            elif self._patience is not None and even() - looked >= STILL_SECONDS:
                looked = even()
                if looked - moved > self._patience or not await self._moves():
                    self._log.warning("spool stays full, reading ends", pending=pending, most=self._most)
                    return False
        if self.full and pending < self._most:
            self.full = False
            self._log.warning("reading goes on", pending=pending)
        return True

    async def _moves(self) -> bool:
        """Whether anything pending is for a webhook that is not held."""
        return bool(await self._thread.call(self._spool.pending) - self._dispatcher.held())

    def _tell_unfinished(self, source: LineSource) -> None:
        for name, length in source.unfinished():
            self._log.warning("unfinished last line left for the next run", source=name, bytes=length)

    async def close(self) -> None:
        await asyncio.to_thread(self._reader.shutdown)
        if self.source is not None:
            self.source.close()
