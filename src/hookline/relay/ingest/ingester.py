"""Ingests lines from the sources into the spool. Reads the next group while the spool stores the previous one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from enum import Enum, auto
from functools import partial
from itertools import islice
from typing import Final

import msgspec

from hookline.errors import MessagesKnown, MovesUnknown, PositionMoved
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery_record import WHOLE_LINE
from hookline.relay.ingest.batch import (
    BatchBuilder,
    build_again,
    build_batch,
    group_of,
    new_lines,
    route_line,
)
from hookline.relay.ingest.group_writer import DeliverySide, GroupWriter
from hookline.relay.ingest.line_guard import GuardedLine, LineGuard
from hookline.relay.ingest.replay_reader import ReplayReader
from hookline.relay.ingest.routing_source import RoutingSource
from hookline.relay.ingest.spool_room import SpoolRoom
from hookline.relay.one_thread import OneThread
from hookline.relay.sources.source import Batch, LineSource
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.crash_notes import source_work
from hookline.relay.spool.spool_values import IngestBatch
from hookline.relay.summary import InputEnd, unknown_formats

WRONG_FORMAT_LINES: Final = 1000  # if none of the first 1000 lines is recognized, a run with an end stops


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


class Ingester:
    """Reads the sources of one run into the spool.

    Args:
        source: the input, or None if only replayed lines are read.
        guard: guards against lines that end the process, and has the thread of the spool.
        routing: see RoutingSource.
        lanes: see DeliverySide.
        held: gives the webhooks that are disabled or paused. Called while a full spool pauses the input.
        limits: see IngestLimits.

    Attributes:
        unrecognized: nothing is recognized so far, after WRONG_FORMAT_LINES of a followed input.
        input_end: the rests of the sources, after their end.
        room: the room in the spool; pauses reading.
        replay: reads the replayed lines. `run` does so first.
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
        self.unrecognized = False
        self.input_end = InputEnd()
        self._any_recognized = False
        self._routing = routing
        self._thread = guard.thread
        self._spool = guard.thread.spool
        self._limits = limits
        self._log = log
        self._guard = LineGuard(guard)
        self._reader = OneThread("reader")
        self.room = SpoolRoom(
            guard.thread, held=held, max_pending=limits.max_pending, max_wait=limits.max_wait, log=log
        )
        self._writer = GroupWriter(guard.thread, lanes, dedupe_window=limits.dedupe_window, clock=clock, log=log)
        self.replay = ReplayReader(
            guard.thread, guard=self._guard, routing=routing, writer=self._writer, reader=self._reader
        )

        # A batch that did not fit into one transaction, and the index of its next line.
        self._unfinished_batch: tuple[Batch, int] | None = None

    def finish(self) -> None:
        """Stops reading from the sources. Lines that were already read still enter the spool."""
        self.room.finish()
        if self.source is not None:
            self.source.finish()

    async def run(self) -> IngestResult:
        """Reads until the end of all sources, or until `finish` is called.

        Raises:
            SpoolUnusable: the spool is damaged.
            HooklineError: a source cannot be read.
        """
        await self.replay.read()
        if self.source is None:
            return IngestResult.COMPLETE
        pending = (await self._thread.run(self._spool.tally))["pending"]
        reading = self._read_ahead(self.source)
        lines = 0
        try:
            while True:
                if not await self.room.wait(pending):
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
        lines = self._guard.with_progress(group.lines, work) if group.is_last else group.lines
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
                return await self._writer.write(lines, is_kept=group.is_kept)
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
        in_reader = partial(asyncio.get_running_loop().run_in_executor, self._reader)
        if not await self._guard.start(work):
            return self._group(batch, start, *await in_reader(build_batch, batch, context, start))
        builder = BatchBuilder(context)
        lines = islice(batch.lines, start, None)
        guarded = (GuardedLine(one, WHOLE_LINE, partial(in_reader, route_line, one, context)) for one in lines)
        await self._guard.read(work, guarded, builder)
        end = start + builder.lines
        return self._group(batch, start, group_of(batch, builder, start=start, end=end), builder.lines)

    def _group(self, batch: Batch, start: int, group: IngestBatch, taken: int) -> _Group:
        """Returns the group of the lines from index `start` on, and remembers the rest of the batch."""
        self._unfinished_batch = (batch, start + taken) if start + taken < len(batch.lines) else None
        if not self._any_recognized:
            blank = sum(not line.data.strip() for line in batch.lines[start : start + taken])
            unknown = len(group.rejected) + unknown_formats(group.skipped)
            self._any_recognized = group.read > blank + unknown
        return _Group(group, batch, start, start + taken)

    async def close(self) -> None:
        if self.source is not None:  # in the reader's thread, and so after the last read
            await asyncio.get_running_loop().run_in_executor(self._reader, self.source.close)
        self._reader.shutdown()
