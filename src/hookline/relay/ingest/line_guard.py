"""Counts the starts of sources, and after crashes without progress reads their lines one by one.

A line that ends the process would end every process that reads it. After three crashes, each line is noted in the
spool before it is parsed. The next start rejects the line that was in hand, and continues with the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from hookline.relay.delivery_record import Line, Rejected
from hookline.relay.ingest.batch import BatchBuilder, RoutedEvent
from hookline.relay.spool.crash_guard import CrashGuard, needs_care
from hookline.relay.spool.crash_notes import CRASHED
from hookline.relay.spool.spool_values import IngestBatch

# A relay reads ahead, so the line that ends it may come in a later batch than the one that made no progress.
CAREFUL_LINES: Final = 1000
MAX_TRUSTED_WORKS: Final = 10_000


class GuardedLine(NamedTuple):
    """A line, its part (`RejectedLine.part`), and the call that parses and routes it."""

    line: Line
    part: int
    route: Callable[[], Awaitable[list[RoutedEvent]]]


class LineGuard:
    """The guard of all sources of one run."""

    def __init__(self, guard: CrashGuard) -> None:
        self._guard = guard
        self._crashed: dict[str, frozenset[bytes]] = {}
        self._careful_lines: dict[str, int] = {}
        self._trusted: dict[str, None] = {}

    def trusts(self, work: str) -> bool:
        """Whether the lines of the work are read as usual: it was started, and needs no care. Called for every batch,
        in any thread."""
        return work in self._trusted or self._careful_lines.get(work) == 0

    def is_careful(self, work: str) -> bool:
        """Whether the lines of the work are read one by one now."""
        return self._careful_lines.get(work, 0) > 0

    def with_progress(self, group: IngestBatch, work: str) -> IngestBatch:
        """Returns the group, as the progress of the work if it awaits one: with its first batch, or one read with
        care."""
        return msgspec.structs.replace(group, progress_of=work) if work in self._careful_lines else group

    async def start(self, work: str) -> bool:
        """Returns whether the lines of a work must be read one by one. The first call counts the start, and waits if
        others have crashed."""
        if work not in self._careful_lines and work not in self._trusted:
            note = await self._guard.count_start(work)
            await self._guard.wait(work, note)
            self._crashed[work] = frozenset(note.items)
            self._careful_lines[work] = CAREFUL_LINES if needs_care(note) else 0
        return self.is_careful(work)

    def progressed(self, work: str, lines: int) -> None:
        """The spool has stored a batch of this many lines, as the progress of the work."""
        self._careful_lines[work] -= lines
        if self._careful_lines[work] <= 0:
            del self._careful_lines[work], self._crashed[work]
            if len(self._trusted) >= MAX_TRUSTED_WORKS:  # the start of the oldest is then counted again
                del self._trusted[next(iter(self._trusted))]
            self._trusted[work] = None

    async def read(self, work: str, lines: Iterable[GuardedLine], builder: BatchBuilder) -> None:
        """Read lines one by one, as many as fit into one transaction, and collect the results in `builder`. Rejects
        lines that were in hand at a crash. Called if `start` has returned True."""
        for line, part, route in lines:
            identity = line_identity(line)
            if identity in self._crashed[work]:
                routed: list[RoutedEvent] = [(line, part, Rejected(CRASHED))]
            else:
                async with self._guard.in_hand(work, identity):
                    routed = await route()
            if builder.add_line(routed):
                return


def line_identity(line: Line) -> bytes:
    """The number and a hash of a line. In a pipe, or in a new file of the same name, another line can have the same
    number, and is another item."""
    return line.number.to_bytes(8, "big") + (line.sha256 or hashlib.sha256(line.data).digest())[:16]
