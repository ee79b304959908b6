"""Reads rejected lines again that an operator has put back with `dead replay`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import groupby
from typing import Final

from hookline.errors import MovesUnknown
from hookline.relay.ingest.batch import BatchBuilder, build_replay_batch, replay_group_of, route_again
from hookline.relay.ingest.group_writer import GroupWriter
from hookline.relay.ingest.line_guard import GuardedLine, LineGuard
from hookline.relay.ingest.routing_source import RoutingSource
from hookline.relay.spool.crash_notes import REPLAYED_LINES
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import IngestBatch, ReplayedLine

REPLAYED_LINES_PER_BATCH: Final = 500


class ReplayReader:
    """Reads the replayed lines of one run."""

    def __init__(
        self,
        thread: SpoolThread,
        *,
        guard: LineGuard,
        routing: RoutingSource,
        writer: GroupWriter,
        reader: Executor,
    ) -> None:
        """Create it.

        Args:
            thread: Runs calls on the spool.
            guard: Guards against lines that end the process.
            routing: See RoutingSource.
            writer: Stores the lines with their new results.
            reader: The reader's thread, in which guarded lines are read.
        """
        self._thread = thread
        self._spool = thread.spool
        self._guard = guard
        self._routing = routing
        self._writer = writer
        self._reader = reader
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> None:
        """Route all replayed lines again, until none remain. Called at the start, and after another process has put
        back lines."""
        async with self._one_at_a_time:
            while lines := await self._thread.run(self._spool.replayed_lines, limit=REPLAYED_LINES_PER_BATCH):
                for source, replayed in groupby(lines, key=lambda one: one.source):
                    await self._read_lines(list(replayed), source)

    async def _read_lines(self, remaining: list[ReplayedLine], source: str) -> None:
        while remaining:
            group, taken = await self._build(remaining, source)
            try:
                await self._writer.write(group)
            except MovesUnknown:
                await self._routing.read_again()
                continue
            if group.progress_of is not None:
                self._guard.progressed(REPLAYED_LINES, taken)
            del remaining[:taken]

    async def _build(self, lines: Sequence[ReplayedLine], source: str) -> tuple[IngestBatch, int]:
        """Returns the group of the first lines, as many as fit into one transaction, and their number."""
        context = self._routing.context
        if not await self._guard.start(REPLAYED_LINES):
            group, taken = build_replay_batch(lines, source, context)
            return self._guard.with_progress(group, REPLAYED_LINES), taken
        builder, in_reader = BatchBuilder(context), partial(asyncio.get_running_loop().run_in_executor, self._reader)
        guarded = (GuardedLine(one.line, one.part, partial(in_reader, route_again, one, context)) for one in lines)
        await self._guard.read(REPLAYED_LINES, guarded, builder)
        group = replay_group_of(lines, builder, source)
        return self._guard.with_progress(group, REPLAYED_LINES), builder.lines
