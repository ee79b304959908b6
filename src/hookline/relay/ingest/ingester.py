"""Ingests lines from the sources into the spool. Reads the next group while the spool stores the previous one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from itertools import groupby
from typing import Final, Protocol

import msgspec

from hookline.errors import PositionMoved
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.ingest.batch import IngestContext, build_batch, build_replay_batch
from hookline.relay.sources.source import Batch, LineSource
from hookline.relay.spool.spool import DequeueAnswer, DequeueRequest, Enqueued, IngestBatch
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.summary import InputEnd, unknown_formats

WRONG_FORMAT_LINES: Final = 1000  # if none of the first 1000 lines is recognized, a run with an end stops
INPUT_CHECK_SECONDS: Final = 0.05
FULL_SPOOL_CHECK_SECONDS: Final = 1.0  # between checks whether any pending delivery can leave a full spool
# Reading resumes when this part of --spool-max is free.
FULL_SPOOL_ROOM: Final = 10
FULL_SPOOL_LINE_SECONDS: Final = 60.0
REPLAYED_LINES_PER_BATCH: Final = 500


class IngestResult(Enum):
    """Why reading ended. NO_ROOM: the spool remains full."""

    COMPLETE = auto()
    WRONG_FORMAT = auto()
    NO_ROOM = auto()


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one run.

    Attributes:
        dedupe_window: seconds for which a delivered id is a duplicate.
        max_pending: pending deliveries at which reading pauses.
        max_wait: seconds that a finite input waits for room in the spool; None for a followed input.
    """

    dedupe_window: float
    max_pending: int
    max_wait: float | None


class _Group(msgspec.Struct, frozen=True):
    """Lines of a batch that one transaction stores. `is_last`: no other group of the batch follows."""

    lines: IngestBatch
    batch: Batch
    is_last: bool

    @property
    def is_end(self) -> bool:
        return self.batch.end and self.is_last


class DeliverySide(Protocol):
    """The lanes, as the ingester sees them. It passes the number of deliveries of a group, by webhook."""

    async def wait_for_room(self, deliveries: Mapping[Address, int]) -> None:
        """Called before a group of a file is stored. Waits a short time if the lanes fall behind."""

    def requests(self, deliveries: Mapping[Address, int]) -> list[DequeueRequest]:
        """Called before each group is stored. Returns the requests of lanes that take deliveries from memory."""

    def enqueued(self, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        """Called after each group is durable, with the answers of the spool."""


class Ingester:
    """Reads the sources of one run into the spool.

    Args:
        source: the input, or None if only replayed lines are read.
        thread: the thread of the spool.
        routing: gives the context that applies now. Called for every batch, in the reader's thread.
        lanes: take the deliveries that are stored.
        held: gives the webhooks that are disabled or paused. Called while a full spool pauses the input.
        limits: see IngestLimits.

    Attributes:
        full: the spool has no room, so reading pauses.
        unrecognized: nothing is recognized so far, after WRONG_FORMAT_LINES of a followed input.
        input_end: the rests of the sources, after their end.
    """

    def __init__(
        self,
        source: LineSource | None,
        thread: SpoolThread,
        *,
        routing: Callable[[], IngestContext],
        lanes: DeliverySide,
        held: Callable[[], Set[Address]],
        limits: IngestLimits,
        clock: RelayClock,
        log: Log,
    ) -> None:
        self.source = source
        self.full = False
        self.unrecognized = False
        self.input_end = InputEnd()
        self._any_recognized = False
        self._full_is_logged = False
        self._next_full_line = 0.0
        self._routing = routing
        self._lanes = lanes
        self._held = held
        self._thread = thread
        self._spool = thread.spool
        self._limits = limits
        self._clock = clock
        self._log = log
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reader")
        self._retries = asyncio.Lock()
        self._finishing = False

        # A batch that did not fit into one transaction, and the index of its next line.
        self._unfinished_batch: tuple[Batch, int] | None = None

    def finish(self) -> None:
        """Stops reading from the sources. Lines that were already read still enter the spool."""
        self._finishing = True
        if self.source is not None:
            self.source.finish()

    async def run(self) -> IngestResult:
        """Reads until the end of all sources, or until `finish` is called.

        Raises:
            SpoolUnusable: the spool is damaged.
            HooklineError: a source cannot be read.
        """
        await self.read_replayed_lines()
        if self.source is None:
            return IngestResult.COMPLETE
        pending = (await self._thread.run(self._spool.tally))["pending"]
        reading = self._read_ahead(self.source)
        lines = 0
        try:
            while True:
                if not await self._wait_for_room(pending):
                    return IngestResult.NO_ROOM
                group = await reading
                if not group.is_end:
                    reading = self._read_ahead(self.source)
                pending = await self._take(group, pending)
                lines += group.lines.read
                if lines >= WRONG_FORMAT_LINES and self._is_wrong_format():
                    return IngestResult.WRONG_FORMAT
                if group.is_end:
                    self._note_input_end(self.source)
                    return IngestResult.COMPLETE
        finally:
            await asyncio.wait([reading])

    async def _take(self, group: _Group, pending: int) -> int:
        """Stores a group, and informs the source. Returns the number of pending deliveries."""
        batch = group.batch
        if group.lines.read or group.lines.position is not None:
            try:
                pending = await self._store_group(group.lines, waits=batch.position.inode != 0)
            except PositionMoved as moved:
                self._log.info("lines dropped, another reader has read them", reason=moved.message)
                if batch.on_dropped is not None:
                    batch.on_dropped()
                return pending
        if group.is_last and batch.on_durable is not None:
            batch.on_durable()
        return pending

    def _is_wrong_format(self) -> bool:
        """Returns whether the run stops because nothing is recognized. A followed input only gets a warning."""
        if self._any_recognized:
            self.unrecognized = False
            return False
        if self._limits.max_wait is not None:
            return True
        if not self.unrecognized:
            self.unrecognized = True
            event = "no line is recognized so far, check --format"
            hint = "`hookline formats test FILE` shows how each line is read"
            self._log.warning(event, lines=WRONG_FORMAT_LINES, hint=hint)
        return False

    def _note_input_end(self, source: LineSource) -> None:
        unread = source.unfinished()
        for name, length in unread:
            if length:  # otherwise the source has logged the damage
                self._log.warning("unfinished last line remains for the next run", source=name, bytes=length)
        self.input_end = InputEnd(tuple(unread), tuple(source.already_read()))

    def _read_ahead(self, source: LineSource) -> asyncio.Future[_Group]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._next_group, source)

    def _next_group(self, source: LineSource) -> _Group:
        """Runs in the reader's thread."""
        batch, start = self._unfinished_batch or (source.read(), 0)
        group, taken = build_batch(batch, self._routing(), start)
        self._unfinished_batch = (batch, start + taken) if start + taken < len(batch.lines) else None
        if not self._any_recognized:
            blank = sum(not line.data.strip() for line in batch.lines[start : start + taken])
            unknown = len(group.rejected) + unknown_formats(group.skipped)
            self._any_recognized = group.read > blank + unknown
        return _Group(group, batch, self._unfinished_batch is None)

    async def read_replayed_lines(self) -> None:
        """Routes the rejected lines again that `dead replay` put back."""
        async with self._retries:
            while lines := await self._thread.run(self._spool.replayed_lines, limit=REPLAYED_LINES_PER_BATCH):
                for source, replayed in groupby(lines, key=lambda one: one.source):
                    remaining = list(replayed)
                    while remaining:
                        group, taken = build_replay_batch(remaining, source, self._routing())
                        await self._store_group(group)
                        del remaining[:taken]

    async def _store_group(self, group: IngestBatch, *, waits: bool = False) -> int:
        """Stores a group, and hands its deliveries to the lanes. `waits`: for room in them, because the lines are in
        a file."""
        deliveries = Counter(new.delivery.address for new in group.deliveries)
        if waits:
            await self._lanes.wait_for_room(deliveries)
        requests = self._lanes.requests(deliveries)
        enqueued = await self._thread.retry_while_stalled("reading", self._store, group, requests)
        self._lanes.enqueued(deliveries, enqueued.answers)
        for rejected in group.rejected:
            self._log.info("rejected", source=group.source, line=rejected.line.number, reason=rejected.reason)
        return enqueued.pending

    def _store(self, group: IngestBatch, requests: Sequence[DequeueRequest] = ()) -> Enqueued:
        """Runs in the spool's thread. The dedupe window begins before the cautious time, so that a clock that was set
        forward does not shorten it.
        """
        now = self._clock.now()
        window = self._limits.dedupe_window and self._limits.dedupe_window + now - self._clock.cautious_now()
        return self._spool.enqueue(group, now=now, dedupe_window=window, requests=requests)

    async def _wait_for_room(self, pending: int) -> bool:
        """Waits while the spool is full, and with it the writer of a pipe. Returns False for a finite input if all
        pending deliveries are held, or if the backlog did not shrink for `max_wait` seconds.
        """
        monotonic = asyncio.get_running_loop().time
        shrank = checked = monotonic()
        resume_below = self._limits.max_pending - self._limits.max_pending // FULL_SPOOL_ROOM
        while pending >= (resume_below if self.full else self._limits.max_pending) and not self._finishing:
            if not self.full:
                self.full = True
                self._report_full(pending, monotonic())
            earlier = pending
            await asyncio.sleep(INPUT_CHECK_SECONDS)
            pending = (await self._thread.run(self._spool.tally))["pending"]
            if pending < earlier:
                shrank = monotonic()
            elif self._limits.max_wait is not None and monotonic() - checked >= FULL_SPOOL_CHECK_SECONDS:
                checked = monotonic()
                waiting = await self._thread.run(self._spool.pending)
                if checked - shrank > self._limits.max_wait or not waiting - self._held():
                    limit = self._limits.max_pending
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
            self._log.warning("spool full, reading pauses", pending=pending, limit=self._limits.max_pending)

    async def close(self) -> None:
        if self.source is not None:  # in the reader's thread, and so after the last read
            await asyncio.get_running_loop().run_in_executor(self._reader, self.source.close)
        self._reader.shutdown()
