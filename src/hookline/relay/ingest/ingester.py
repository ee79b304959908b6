"""From the sources into the spool: reads a group of lines while the one before it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Set
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from itertools import groupby
from typing import Final

import msgspec

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.ingest.batch import IngestContext, build_batch, build_replay_batch
from hookline.relay.sources.source import Batch, LineSource
from hookline.relay.spool.spool import IngestBatch, ReplayedLine
from hookline.relay.spool.spool_thread import SpoolThread

SUSPICIOUS_LINES: Final = 1000
INPUT_CHECK_SECONDS: Final = 0.05
FULL_SPOOL_CHECK_SECONDS: Final = 1.0  # between two looks at which webhooks a full spool is full of
REPLAYED_LINES_PER_BATCH: Final = 500


class IngestResult(Enum):
    """Why no more is read. NO_ROOM: the spool is full, and stays so."""

    WHOLE = auto()
    WRONG_FORMAT = auto()
    NO_ROOM = auto()


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one run.

    Attributes:
        dedupe_window: seconds for which a delivered id is a duplicate.
        max_pending: pending deliveries at which reading pauses.
        max_wait: seconds that an input with an end waits for room in the spool; None for an input without an end.
    """

    dedupe_window: float
    max_pending: int
    max_wait: float | None


class Ingester:
    """Reads the sources of one run into the spool.

    Args:
        source: the input, or None if only replayed lines are read.
        thread: the thread of the spool.
        routing: gives the routing table and the formats that apply now. Called for every batch, in the reader's
            thread.
        on_enqueued: called with the addresses of new deliveries, after they are durable.
        held: gives the webhooks that are disabled or paused. Called while a full spool pauses the input.
        limits: see IngestLimits.

    Attributes:
        full: the spool has no room, so reading pauses.
    """

    def __init__(
        self,
        source: LineSource | None,
        thread: SpoolThread,
        *,
        routing: Callable[[], IngestContext],
        on_enqueued: Callable[[Iterable[Address]], None],
        held: Callable[[], Set[Address]],
        limits: IngestLimits,
        clock: RelayClock,
        log: Log,
    ) -> None:
        self.source = source
        self.full = False
        self._routing = routing
        self._on_enqueued = on_enqueued
        self._held = held
        self._thread = thread
        self._spool = thread.spool
        self._limits = limits
        self._clock = clock
        self._log = log
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._retries = asyncio.Lock()
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

    async def run(self) -> IngestResult:
        """Read until the end of all sources, or until told to finish.

        Raises SpoolUnusable when the spool is damaged, HooklineError when a source cannot be read.
        """
        await self.read_again()
        if self.source is None:
            return IngestResult.WHOLE
        pending = (await self._thread.run(self._spool.tally))["pending"]
        reading = self._read_ahead(self.source)
        try:
            while True:
                if not await self._room(pending):
                    return IngestResult.NO_ROOM
                intake, end = await reading
                if not end:
                    reading = self._read_ahead(self.source)
                if intake.read or intake.position is not None:
                    pending = await self._append(intake)
                if self._looks_wrong(intake):
                    return IngestResult.WRONG_FORMAT
                if end:
                    self._tell_unfinished(self.source)
                    return IngestResult.WHOLE
        finally:
            await asyncio.wait([reading])

    def _read_ahead(self, source: LineSource) -> asyncio.Future[tuple[IngestBatch, bool]]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._next_intake, source)

    def _next_intake(self, source: LineSource) -> tuple[IngestBatch, bool]:
        """In the reader's thread."""
        batch, start = self._left or (source.read(), 0)
        intake, taken = build_batch(batch, self._routing(), start)
        self._left = (batch, start + taken) if start + taken < len(batch.lines) else None
        return intake, batch.end and self._left is None

    async def read_again(self) -> None:
        """Rejected lines that `dead replay` put back: their cause may be gone."""
        async with self._retries:
            while lines := await self._thread.run(self._spool.replayed_lines, limit=REPLAYED_LINES_PER_BATCH):
                for source, group in groupby(lines, key=lambda one: one.source):
                    await self._take_again(list(group), source)

    async def _take_again(self, lines: list[ReplayedLine], source: str) -> None:
        while lines:
            intake, taken = build_replay_batch(lines, source, self._routing())
            await self._append(intake)
            del lines[:taken]

    async def _append(self, intake: IngestBatch) -> int:
        pending = await self._thread.retry_while_stalled("reading", self._store, intake)
        self._on_enqueued(dict.fromkeys(taken.delivery.address for taken in intake.deliveries))
        for refused in intake.rejected:
            self._log.info("rejected", source=intake.source, line=refused.line.number, reason=refused.reason)
        return pending

    def _store(self, intake: IngestBatch) -> int:
        """In the spool's thread. The duplicate window reaches back from the cautious time: a clock that was set
        forward does not end it."""
        now = self._clock.now()
        window = self._limits.dedupe_window + now - self._clock.cautious_now()
        return self._spool.enqueue(intake, now=now, dedupe_window=window)

    def _looks_wrong(self, intake: IngestBatch) -> bool:
        self._lines += intake.read
        self._any_readable |= len(intake.rejected) < intake.read
        return not self._any_readable and self._lines >= SUSPICIOUS_LINES

    async def _room(self, pending: int) -> bool:
        """A full spool stops reading for all; the pipe's writer waits, a file's position stays. False: an input that
        has an end waits in vain, since all that is pending is held, or nothing was settled for too long."""
        even = asyncio.get_running_loop().time
        moved = looked = even()
        while pending >= self._limits.max_pending and not self._finishing:
            if not self.full:
                self.full = True
                self._log.warning("spool full, reading pauses", pending=pending, most=self._limits.max_pending)
            before = pending
            await asyncio.sleep(INPUT_CHECK_SECONDS)
            pending = (await self._thread.run(self._spool.tally))["pending"]
            if pending < before:
                moved = even()
            elif self._limits.max_wait is not None and even() - looked >= FULL_SPOOL_CHECK_SECONDS:
                looked = even()
                if looked - moved > self._limits.max_wait or not await self._moves():
                    self._log.warning(
                        "spool stays full, reading ends", pending=pending, most=self._limits.max_pending
                    )
                    return False
        if self.full and pending < self._limits.max_pending:
            self.full = False
            self._log.warning("reading goes on", pending=pending)
        return True

    async def _moves(self) -> bool:
        """Whether anything pending is for a webhook that is not held."""
        return bool(await self._thread.run(self._spool.pending) - self._held())

    def _tell_unfinished(self, source: LineSource) -> None:
        for name, length in source.unfinished():
            self._log.warning("unfinished last line left for the next run", source=name, bytes=length)

    async def close(self) -> None:
        await asyncio.to_thread(self._reader.shutdown)
        if self.source is not None:
            self.source.close()
