"""Ingests lines from the sources into the spool. Reads the next group while the spool stores the previous one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from enum import Enum, auto
from functools import partial
from itertools import groupby, islice
from typing import Final, ParamSpec, Protocol, TypeVar

import msgspec

from hookline.errors import MessagesKnown, MovesUnknown, PositionMoved
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery_record import WHOLE_LINE
from hookline.relay.ingest.batch import (
    BatchBuilder,
    IngestContext,
    build_again,
    build_batch,
    build_replay_batch,
    group_of,
    new_lines,
    replay_group_of,
    route_again,
    route_line,
)
from hookline.relay.ingest.line_guard import GuardedLine, LineGuard
from hookline.relay.one_thread import OneThread
from hookline.relay.sources.source import Batch, LineSource
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.crash_notes import REPLAYED_LINES, source_work
from hookline.relay.spool.spool import DequeueAnswer, DequeueRequest, Enqueued, IngestBatch, ReplayedLine
from hookline.relay.summary import InputEnd, unknown_formats

WRONG_FORMAT_LINES: Final = 1000  # if none of the first 1000 lines is recognized, a run with an end stops
INPUT_CHECK_SECONDS: Final = 0.05
FULL_SPOOL_CHECK_SECONDS: Final = 1.0  # between checks whether any pending delivery can leave a full spool
# Reading resumes when this part of --spool-max is free.
FULL_SPOOL_ROOM: Final = 10
FULL_SPOOL_LINE_SECONDS: Final = 60.0
REPLAYED_LINES_PER_BATCH: Final = 500

_P = ParamSpec("_P")
_T = TypeVar("_T")


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
    """Lines of a batch that one transaction stores: those from index `start` up to `stop`. `is_last`: no other group
    of the batch follows."""

    lines: IngestBatch
    batch: Batch
    start: int
    stop: int

    @property
    def is_last(self) -> bool:
        return self.stop == len(self.batch.lines)

    @property
    def is_kept(self) -> bool:
        """Whether the lines are also in a file, or in a log until they are acknowledged."""
        return self.batch.position.inode != 0 or self.batch.on_durable is not None

    @property
    def is_end(self) -> bool:
        return self.batch.end and self.is_last


class DeliverySide(Protocol):
    """The lanes, as the ingester sees them. It passes the number of deliveries of a group, by webhook."""

    async def wait_for_room(self, deliveries: Mapping[Address, int], *, is_kept: bool) -> None:
        """Called before a group is stored. Waits a short time if the lanes fall behind. `is_kept`: the lines are also
        in a file or log."""

    def requests(self, deliveries: Mapping[Address, int]) -> list[DequeueRequest]:
        """Called before each group is stored. Returns the requests of lanes that take deliveries from memory."""

    def enqueued(self, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        """Called after each group is durable, with the answers of the spool."""


class RoutingSource(Protocol):
    """Supplies the routes."""

    @property
    def context(self) -> IngestContext:
        """The context that applies now. Read for every batch, in the reader's thread."""

    async def read_again(self) -> None:
        """Read the state, and return when `context` has it. Called when a group was routed without a move that
        the spool has followed."""


class Ingester:
    """Reads the sources of one run into the spool.

    Args:
        source: the input, or None if only replayed lines are read.
        guard: guards against lines that end the process, and has the thread of the spool.
        routing: see RoutingSource.
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
        guard: CrashGuard,
        *,
        routing: RoutingSource,
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
        self._thread = guard.thread
        self._spool = guard.thread.spool
        self._limits = limits
        self._clock = clock
        self._log = log
        self._guard = LineGuard(guard)
        self._reader = OneThread("reader")
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
                if not isinstance(group, _Group):
                    group = await self._build_guarded(*group)
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
        batch, work = group.batch, source_work(group.batch.source)
        lines = self._with_progress(group.lines, work) if group.is_last else group.lines
        if lines.read or lines.position is not None:
            try:
                pending = await self._store_new(group, lines)
            except PositionMoved as moved:
                self._log.info("lines dropped, another reader has read them", reason=moved.message)
                if batch.on_dropped is not None:
                    batch.on_dropped()
                return pending
        if lines.progress_of is not None:
            self._guard.progressed(work, len(batch.lines))
        if group.is_last and batch.on_durable is not None:
            batch.on_durable()
        return pending

    async def _store_new(self, group: _Group, lines: IngestBatch) -> int:
        """Stores a group without the messages that the spool has already: one that was delivered again. Routes it
        again if a webhook has moved since."""
        known = frozenset[int]()
        while True:
            try:
                return await self._store_group(lines, is_kept=group.is_kept)
            except MessagesKnown as stored:
                known |= stored.numbers
            except MovesUnknown:
                await self._routing.read_again()
            progress_of = lines.progress_of
            lines = msgspec.structs.replace(await self._build_new(group, known), progress_of=progress_of)

    async def _build_new(self, group: _Group, known: Set[int]) -> IngestBatch:
        """Not in the reader's thread, which may wait until this group is durable."""
        batch, start, end, context = group.batch, group.start, group.stop, self._routing.context
        work = source_work(batch.source)
        if not self._guard.is_careful(work):
            return await asyncio.to_thread(build_again, batch, context, known, start=start, end=end)
        builder, new = BatchBuilder(context), list(new_lines(batch, known, start=start, end=end))
        guarded = (GuardedLine(one, WHOLE_LINE, partial(asyncio.to_thread, route_line, one, context)) for one in new)
        while builder.lines < len(new):  # they fitted into one transaction before
            await self._guard.read(work, guarded, builder)
        return group_of(batch, builder, start=start, end=end, known=known)

    def _with_progress(self, group: IngestBatch, work: str) -> IngestBatch:
        if not self._guard.awaits_progress(work):
            return group
        return msgspec.structs.replace(group, progress_of=work)

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

    def _read_ahead(self, source: LineSource) -> asyncio.Future[_Group | tuple[Batch, int]]:
        return asyncio.get_running_loop().run_in_executor(self._reader, self._next_group, source)

    def _next_group(self, source: LineSource) -> _Group | tuple[Batch, int]:
        """Runs in the reader's thread. Returns a batch as it is if its lines need the guard."""
        batch, start = self._unfinished_batch or (source.read(), 0)
        if batch.lines and not self._guard.trusts(source_work(batch.source)):
            return batch, start
        return self._group(batch, start, *build_batch(batch, self._routing.context, start))

    async def _build_guarded(self, batch: Batch, start: int) -> _Group:
        """Reads lines of a source that begins in this run, or that is read line by line."""
        work, context = source_work(batch.source), self._routing.context
        if not await self._guard.start(work):
            return self._group(batch, start, *await self._in_reader(build_batch, batch, context, start))
        builder = BatchBuilder(context)
        lines = islice(batch.lines, start, None)
        guarded = (GuardedLine(one, WHOLE_LINE, partial(self._in_reader, route_line, one, context)) for one in lines)
        await self._guard.read(work, guarded, builder)
        end = start + builder.lines
        return self._group(batch, start, group_of(batch, builder, start=start, end=end), builder.lines)

    async def _in_reader(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, partial(function, *args, **kwargs))

    def _group(self, batch: Batch, start: int, group: IngestBatch, taken: int) -> _Group:
        """Returns the group of the lines from index `start` on, and remembers the rest of the batch."""
        self._unfinished_batch = (batch, start + taken) if start + taken < len(batch.lines) else None
        if not self._any_recognized:
            blank = sum(not line.data.strip() for line in batch.lines[start : start + taken])
            unknown = len(group.rejected) + unknown_formats(group.skipped)
            self._any_recognized = group.read > blank + unknown
        return _Group(group, batch, start, start + taken)

    async def read_replayed_lines(self) -> None:
        """Routes the rejected lines again that `dead replay` put back."""
        async with self._retries:
            while lines := await self._thread.run(self._spool.replayed_lines, limit=REPLAYED_LINES_PER_BATCH):
                for source, replayed in groupby(lines, key=lambda one: one.source):
                    remaining = list(replayed)
                    while remaining:
                        group, taken = await self._build_replayed(remaining, source)
                        try:
                            await self._store_group(group)
                        except MovesUnknown:
                            await self._routing.read_again()
                            continue
                        if group.progress_of is not None:
                            self._guard.progressed(REPLAYED_LINES, taken)
                        del remaining[:taken]

    async def _build_replayed(self, lines: Sequence[ReplayedLine], source: str) -> tuple[IngestBatch, int]:
        context = self._routing.context
        if not await self._guard.start(REPLAYED_LINES):
            group, taken = build_replay_batch(lines, source, context)
            return self._with_progress(group, REPLAYED_LINES), taken
        builder = BatchBuilder(context)
        guarded = (
            GuardedLine(one.line, one.part, partial(self._in_reader, route_again, one, context)) for one in lines
        )
        await self._guard.read(REPLAYED_LINES, guarded, builder)
        return self._with_progress(replay_group_of(lines, builder, source), REPLAYED_LINES), builder.lines

    async def _store_group(self, group: IngestBatch, *, is_kept: bool = True) -> int:
        """Stores a group, and hands its deliveries to the lanes. `is_kept`: its lines are also kept elsewhere."""
        deliveries = Counter(new.delivery.address for new in group.deliveries)
        await self._lanes.wait_for_room(deliveries, is_kept=is_kept)
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
