"""Reads the database of a damaged spool through SQLite, from a copy. The spool itself is never written."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.paths import path_exists
from hookline.relay.spool.sqlite.database import DATABASE_FILE, FAULTS, check_format, named_rows
from hookline.relay.spool.sqlite.recovery.row_validation import Row
from hookline.relay.spool.sqlite.schema import EARLIER_SPOOL_APPLICATION_ID, PAGE_BYTES, SPOOL_APPLICATION_ID

_COPY_BYTES: Final = 1 << 20
_LOG_HEADER_BYTES: Final = 32
_FRAME_BYTES: Final = 24 + PAGE_BYTES
_MAX_FORMAT: Final = 1000  # a larger number is damage, not a format
_MAX_PROBES: Final = 200_000  # queries for the ranges of one table, some seconds
_PROBES_PER_PAGE: Final = 400  # more than twice the rows of a page: enough to isolate each row of a damaged page
_MAX_KEYS: Final = 1 << 20  # tried after the last key that was read, when the largest is not known
_MAX_RANGES_NAMED: Final = 5
_SMALLEST_KEY: Final = -(2**63)
# By table: its integer primary key, and the index that covers the whole table.
KEYS: Final = {"webhook": "n", "delivery": "seq", "rejected": "n", "followed_move": "n"}
UNIQUE_INDEXES: Final = {table: f"sqlite_autoindex_{table}_1" for table in KEYS}
# The bytes of the header without the counters, the list of free pages, the number of pages and the SQLite version.
_FIXED_BYTES: Final = (*range(24), *range(44, 48), *range(52, 92))


class DamagedDatabase:
    """A copy of one spool's database in `place`, an empty directory.

    `model` is the database of a new spool: all spools of a format have the same first page, apart from counters.
    `notes` lists the damage. `complete`: no damage was found that may have cost rows. Raises SpoolUnusable when the
    spool cannot be copied or has another format.
    """

    def __init__(self, directory: Path, place: Path, model: sqlite3.Connection) -> None:
        self.notes: list[str] = []
        self.complete = True
        self._lacks_bodies = False
        self._copy = place / DATABASE_FILE
        log = place / f"{DATABASE_FILE}-wal"
        try:
            for path in (self._copy, log):
                if path_exists(directory / path.name, error=SpoolUnusable):
                    self._copy_file(directory / path.name, path)
        except OSError as error:
            raise SpoolUnusable(f"the spool {directory} cannot be copied: {error.strerror}") from error
        self._repair_first_page(directory / DATABASE_FILE, model)
        self._apply_log(log)
        self._pages = max(1, self._copy.stat().st_size // PAGE_BYTES)
        self._connection = self._open()
        self._connection.text_factory = bytes

    def close(self) -> None:
        self._connection.close()

    def rows(self, query: str, parameters: tuple[int, ...] = ()) -> Iterator[Row]:
        """The rows of a query, each by column name; texts are bytes. Raises one of FAULTS at damage."""
        yield from named_rows(self._connection.execute(query, parameters))

    def readable(self, table: str) -> Iterator[Row]:
        """All rows of a table that can be read, by ranges of its integer primary key.

        Reads from the start up to the damage, then halves the rest until the damaged keys are isolated. At the end it
        notes the lost ranges, unless the table is whole.
        """
        key = KEYS[table]
        query = f"SELECT * FROM {table} NOT INDEXED WHERE {key} BETWEEN ? AND ? ORDER BY {key}"
        damage, lost, open_ranges = None, [], deque([(_SMALLEST_KEY, -_SMALLEST_KEY - 1)])
        for _ in range(min(_MAX_PROBES, _PROBES_PER_PAGE * self._pages)):
            if not open_ranges:
                break
            first, last = open_ranges.popleft()
            try:
                for row in self.rows(query, (first, last)):
                    first = max(first, row[key] + 1)
                    yield row
            except FAULTS as error:
                if damage is None:
                    damage = str(error)
                    first, last = self._bounds(table, first)
                if first == last:
                    lost.append((first, last))
                elif first < last:
                    middle = (first + last) // 2
                    open_ranges += [(first, middle), (middle + 1, last)]
        if damage is not None:
            self._note_loss(f"table {table}: {damage}; {_describe(sorted([*lost, *open_ranges]))}")

    def body(self, seq: int) -> bytes | None:
        """The payload of a delivery. None: it has none, or it is lost, which is noted once."""
        try:
            found = self._connection.execute("SELECT content FROM body WHERE seq = ?", (seq,)).fetchone()
        except FAULTS as error:
            if not self._lacks_bodies:
                self._lacks_bodies = True
                self._note_loss(f"table body: {error}; payloads are lost")
            return None
        return found[0] if found is not None and isinstance(found[0], bytes) else None

    def count(self, table: str, index: str, where: str = "") -> int | None:
        """The number of rows in an index; None when the index is damaged."""
        return self._number(f"count(*) FROM {table} INDEXED BY {index} {where}")

    def _bounds(self, table: str, first: int) -> tuple[int, int]:
        """`first` or the smallest key, and the largest: by the index and by the table, if each can be read."""
        sources = (f"FROM {table} INDEXED BY {UNIQUE_INDEXES[table]}", f"FROM {table} NOT INDEXED")
        smallest = [self._number(f"min({KEYS[table]}) {source}") for source in sources]
        largest = [self._number(f"max({KEYS[table]}) {source}") for source in sources]
        if first == _SMALLEST_KEY:  # no row was read
            first = min((key for key in smallest if key is not None), default=0)
        return first, max((key for key in largest if key is not None), default=first + _MAX_KEYS)

    def _number(self, query: str) -> int | None:
        try:
            (found,) = self._connection.execute(f"SELECT {query}").fetchone()
        except FAULTS:
            return None
        return found if isinstance(found, int) else None

    def _note_loss(self, note: str) -> None:
        self.complete = False
        self.notes.append(note)

    def _copy_file(self, source: Path, target: Path) -> None:
        """Copy a file. Bytes that the disk cannot read become zeros. Raises OSError."""
        target.touch(mode=0o600)
        with source.open("rb", buffering=0) as old, target.open("wb") as new:
            size = old.seek(0, 2)
            for offset in range(0, size, _COPY_BYTES):
                length = min(_COPY_BYTES, size - offset)
                old.seek(offset)
                try:
                    part = old.read(length)
                except OSError as error:
                    part = b""
                    self._note_loss(f"{source.name}: {length} bytes at {offset} cannot be read: {error.strerror}")
                new.write(part.ljust(length, b"\0"))

    def _repair_first_page(self, path: Path, model: sqlite3.Connection) -> None:
        """Replace the header, and the schema if it is damaged: SQLite needs both to read anything."""
        sound = model.serialize()[:PAGE_BYTES]
        with self._copy.open("rb") as file:
            found = file.read(PAGE_BYTES)
            pages = file.seek(0, 2) // PAGE_BYTES
        if not pages:
            self._note_loss(f"{DATABASE_FILE} is shorter than one page" if found else f"{DATABASE_FILE} is empty")
        application, version = int.from_bytes(found[68:72], "big"), int.from_bytes(found[60:64], "big")
        if application in (SPOOL_APPLICATION_ID, EARLIER_SPOOL_APPLICATION_ID) and version < _MAX_FORMAT:
            check_format(application, version, path)
        header = bytearray(sound[:100])
        header[28:32] = max(1, pages).to_bytes(4, "big")
        header[92:96] = header[24:28]  # then SQLite trusts the number of pages
        if any(found[at : at + 1] != header[at : at + 1] for at in _FIXED_BYTES):
            self.notes.append("the header of the database was damaged")
        for rest in (found[100:], sound[100:]):
            with self._copy.open("r+b") as file:
                file.write(header + rest)
            with closing(self._open()) as connection, suppress(*FAULTS):
                if _schema(connection) == _schema(model):
                    return
            self.notes.append("the schema of the database was damaged")

    def _apply_log(self, log: Path) -> None:
        """Move the commits of the write-ahead log into the copy of the database."""
        if not path_exists(log, error=SpoolUnusable) or log.stat().st_size <= _LOG_HEADER_BYTES:
            return
        frames, read = _frames(log), 0
        try:
            with closing(sqlite3.connect(self._copy, isolation_level=None)) as connection:
                read = max(0, connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[1])
        except FAULTS as error:
            self.notes.append(f"the write-ahead log cannot be read: {error}")
        if frames != read:
            self._note_loss(
                f"{read:,} of {frames:,} pages of the write-ahead log can be read: "
                "the last write is incomplete or damaged"
            )

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self._copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return connection.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()


def _frames(log: Path) -> int:
    """The number of pages in the log: the frames with the salt of its header. Older frames have another salt
    (https://www.sqlite.org/fileformat2.html, "WAL File Format")."""
    with log.open("rb") as file:
        header = file.read(_LOG_HEADER_BYTES)
        damaged = header[8:12] != PAGE_BYTES.to_bytes(4, "big")
        frames = (frame for frame in iter(partial(file.read, _FRAME_BYTES), b"") if len(frame) == _FRAME_BYTES)
        return sum(damaged or frame[8:16] == header[16:24] for frame in frames)


def _describe(ranges: list[tuple[int, int]]) -> str:
    """The lost ranges of keys, for a note. Adjacent ranges are merged."""
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        start = merged.pop()[0] if merged and merged[-1][1] + 1 == first else first
        merged.append((start, last))
    if not merged:
        return "no range of rows is lost"
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in merged[:_MAX_RANGES_NAMED]]
    more = len(merged) - len(texts)
    return f"rows {', '.join(texts)}{f' and {more:,} more ranges' if more else ''} are lost"
