"""A dry run: parses and routes events like a real run, without sending them or moving a checkpoint."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final

import msgspec

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Delivery, Line, Rejected, RoutingResult, Skipped
from hookline.relay.ingest.batch import IngestContext, route_line
from hookline.relay.routing import SkipNames
from hookline.relay.sources.source import MAX_LINES_PER_BATCH, LineSource

_CACHE_KIB: Final = 4096


class SeenIds:
    """The delivery ids that a dry run has read: any number of them, in bounded memory.

    They are in a temporary database, which SQLite creates and removes. It becomes a file when it outgrows its cache,
    in the system's directory for temporary files (https://www.sqlite.org/tempfiles.html).
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        for pragma in ("temp_store = FILE", f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")  # never committed, because the ids are temporary
        self._connection.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID")

    def close(self) -> None:
        self._connection.close()

    def add(self, identity: bytes) -> bool:
        """Adds the id. Returns whether it is new. Raises HooklineError if the disk is full."""
        try:
            return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount > 0
        except sqlite3.DatabaseError as failed:
            raise HooklineError(
                f"the dry run cannot store the delivery ids: {failed}",
                hint="free space in /var/tmp, or name another directory with SQLITE_TMPDIR",
            ) from failed


class DryRunEvent(msgspec.Struct, frozen=True):
    """One event: where it was read, its routing result, and whether the delivery is a duplicate."""

    source: str
    line: int
    result: RoutingResult
    duplicate: bool


def dry_run(
    source: LineSource, context: IngestContext, known: Callable[[Sequence[bytes]], set[bytes]]
) -> Iterator[DryRunEvent]:
    """Reads to the end of all sources. `known` returns those of the given delivery ids that are duplicates."""
    with closing(SeenIds()) as seen:
        end = False
        while not end:
            batch = source.read()
            end = batch.end
            for results in _grouped(batch.lines, context):
                duplicates = known([result.id for _, result in results if isinstance(result, Delivery)])
                for number, result in results:
                    duplicate = isinstance(result, Delivery) and (result.id in duplicates or not seen.add(result.id))
                    yield DryRunEvent(batch.source, number, result, duplicate)


def _grouped(lines: Iterable[Line], context: IngestContext) -> Iterator[list[tuple[int, RoutingResult]]]:
    """Yields line numbers with routing results. A line can have many events, so a group ends with the
    line that fills it."""
    group: list[tuple[int, RoutingResult]] = []
    for line in lines:
        group += [(line.number, result) for _, _, result in route_line(line, context)]
        if len(group) >= MAX_LINES_PER_BATCH:
            yield group
            group = []
    if group:
        yield group


def count_results(events: Iterable[DryRunEvent], on_event: Callable[[DryRunEvent], None]) -> dict[str, int]:
    """Calls `on_event` with each event. Returns the counters of a spool, where ``pending`` are new deliveries."""
    tally: Counter[str] = Counter(pending=0)
    names = SkipNames()
    for event in events:
        on_event(event)
        tally["read"] += 1
        match event.result:
            case Delivery():
                tally["duplicates" if event.duplicate else "pending"] += 1
            case Skipped() as skipped:
                tally[f"skipped:{names.key(skipped)}"] += 1
            case Rejected():
                tally["rejected"] += 1
    return dict(tally)
