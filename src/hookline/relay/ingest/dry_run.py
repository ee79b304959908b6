"""A dry run: each event's fate, by the same reading and routing as a real one; nothing is sent, nothing is moved."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from types import TracebackType
from typing import Final

import msgspec

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Delivery, Rejected, RoutingResult, Skipped
from hookline.relay.ingest.batch import IngestContext, route_event, take_until_full
from hookline.relay.routing import SkipNames
from hookline.relay.sources.source import LineSource

# The delivery ids that a dry run has come across: any number of them, in a bounded amount of memory.
_CACHE_KIB: Final = 4096


class SeenIds(AbstractContextManager["SeenIds"]):
    """In a database of its own, which SQLite makes and removes: a file once there are more than fit into its cache.

    It lies in the system's directory for temporary files (https://www.sqlite.org/tempfiles.html).
    """

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        for pragma in ("temp_store = FILE", f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("BEGIN")  # it never ends: nothing of this is to be kept
        self._connection.execute("CREATE TABLE seen (id BLOB PRIMARY KEY) STRICT, WITHOUT ROWID")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, identity: bytes) -> bool:
        """Whether it is new. Raises HooklineError when there is no room for it."""
        try:
            return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount > 0
        except sqlite3.DatabaseError as failed:
            raise HooklineError(
                f"a dry run cannot keep the ids that it has come across: {failed}",
                hint="make room in /var/tmp, or name another directory with SQLITE_TMPDIR",
            ) from failed


class DryRunEvent(msgspec.Struct, frozen=True):
    """One event: where it was read, what would become of it, and whether it is known already."""

    source: str
    line: int
    fate: RoutingResult
    duplicate: bool


def dry_run(
    source: LineSource, reading: IngestContext, known: Callable[[Sequence[bytes]], set[bytes]]
) -> Iterator[DryRunEvent]:
    """Read to the end of all sources. `known` tells which of some delivery ids would be duplicates."""
    with SeenIds() as seen:
        end = False
        while not end:
            batch = source.read()
            end = batch.end
            start = 0
            while start < len(batch.lines):
                found = take_until_full(route_event(line, reading) for line in islice(batch.lines, start, None))
                start += len(found)
                fates = [(line.number, fate) for each in found for line, _, fate in each]
                before = known([fate.id for _, fate in fates if isinstance(fate, Delivery)])
                for number, fate in fates:
                    duplicate = isinstance(fate, Delivery) and (fate.id in before or not seen.add(fate.id))
                    yield DryRunEvent(batch.source, number, fate, duplicate)


def count_results(rehearsed: Iterable[DryRunEvent], tell: Callable[[DryRunEvent], None]) -> dict[str, int]:
    """Hand each event on, and count them as a spool would: what would be sent is ``pending``."""
    tally: Counter[str] = Counter(pending=0)
    names = SkipNames()
    for one in rehearsed:
        tell(one)
        tally["read"] += 1
        match one.fate:
            case Delivery():
                tally["duplicates" if one.duplicate else "pending"] += 1
            case Skipped() as skipped:
                tally[f"skipped:{names.key(skipped)}"] += 1
            case Rejected():
                tally["rejected"] += 1
    return dict(tally)
