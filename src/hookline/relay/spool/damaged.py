"""A damaged spool, as far as it can be read: from a copy, so that nothing is ever written to the spool itself."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.relay.spool.carving import Value, carve, page_size_of
from hookline.relay.spool.database import FILE
from hookline.relay.spool.soundness import Row

_COPIED_AT_ONCE: Final = 1 << 20
_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24


class Unreadable(Exception):
    """SQLite finds no way on in a table."""


class Damaged:
    """The copy of one spool in `place`, an empty directory. `notes` says what was found at the files themselves, and
    `uncertain` that something may be missing of which no table tells. Raises SpoolUnusable when there is no spool, or
    no room for its copy."""

    def __init__(self, directory: Path, place: Path) -> None:
        self.notes: list[str] = []
        self.uncertain = False
        self._copy = place / FILE
        try:
            self._copy_file(directory / FILE, self._copy)
            log = directory / f"{FILE}-wal"
            if log.exists():
                self._copy_file(log, place / log.name)
        except OSError as error:
            raise SpoolUnusable(f"the spool {directory} cannot be copied: {error.strerror}") from error
        self._mend_header()
        self._fold_log_in(place / f"{FILE}-wal")
        self._connection = self._open()

    def __enter__(self) -> Damaged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def rows(self, table: str, index: str = "") -> Iterator[Row]:
        """The rows of a table as SQLite finds them, or what an index of it covers; texts are bytes.

        Raises Unreadable where it finds no way on: what came before is good.
        """
        columns = "*" if not index else "rowid AS n, organization, sandbox"
        try:
            cursor = self._connection.execute(f"SELECT {columns} FROM {table} {index and f'INDEXED BY {index}'}")
            names = [name for name, *_ in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))
        except UnicodeDecodeError as error:  # of a message about a damaged name
            raise Unreadable("the schema is damaged") from error
        except sqlite3.DatabaseError as error:
            raise Unreadable(str(error)) from error

    def carved(self) -> Iterator[tuple[int, Sequence[Value]]]:
        """The rows of all tables, from the pages themselves."""
        return carve(self._copy)

    def count(self, table: str, index: str, where: str = "") -> int | None:
        """How many rows an index knows; None when it cannot be read to its end, or is not there."""
        try:
            found = self._connection.execute(f"SELECT count(*) FROM {table} INDEXED BY {index} {where}").fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return None
        return int(found[0])

    def _copy_file(self, source: Path, target: Path) -> None:
        """What the disk cannot read is copied as zeros."""
        target.touch(mode=0o600)
        with source.open("rb", buffering=0) as old, target.open("wb") as new:
            size = old.seek(0, 2)
            for place in range(0, size, _COPIED_AT_ONCE):
                length = min(_COPIED_AT_ONCE, size - place)
                old.seek(place)
                try:
                    part = old.read(length)
                except OSError as error:
                    part = b""
                    self.uncertain = True
                    self.notes.append(f"{source.name}: {length} bytes from {place} cannot be read: {error.strerror}")
                new.write(part.ljust(length, b"\0"))

    def _mend_header(self) -> None:
        """Without the first hundred bytes SQLite reads nothing; hookline knows what most of them must be."""
        with self._copy.open("r+b") as file:
            header = file.read(100)
            pages = file.seek(0, 2) // page_size_of(header)
            if not pages:
                self.uncertain = True
                self.notes.append(f"{FILE} is empty" if not header else f"{FILE} is shorter than one page")
                return
            mended = bytearray(header.ljust(100, b"\0"))
            mended[:16] = b"SQLite format 3\0"
            mended[16:24] = page_size_of(header).to_bytes(2, "big") + bytes((2, 2, 0, 64, 32, 32))
            mended[44:48] = (4).to_bytes(4, "big")
            mended[56:60] = (1).to_bytes(4, "big")
            if mended != header:
                self.notes.append("the header of the database was damaged")
            if header[28:32] != pages.to_bytes(4, "big"):  # then SQLite shall go by the size of the file
                mended[92:96] = bytes(byte ^ 0xFF for byte in header[24:28])
            file.seek(0)
            file.write(mended)

    def _fold_log_in(self, log: Path) -> None:
        """The newest commits may stand in the write-ahead log only; afterwards all of them are in the one file."""
        size = log.stat().st_size if log.exists() else 0
        if size <= _LOG_HEADER:
            return
        frames, read = _frames(log), 0
        try:
            with closing(sqlite3.connect(self._copy, isolation_level=None)) as connection:
                read = max(0, connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()[1])
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            self.notes.append(f"the write-ahead log cannot be read: {error}")
        if frames != read:
            self.uncertain = True
            self.notes.append(
                f"of the write-ahead log's {frames:,} pages, {read:,} can be read: "
                "what was written last was not finished, or is damaged"
            )

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"{self._copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        connection.text_factory = bytes
        return connection


def _frames(log: Path) -> int:
    """How many pages the log seems to hold: those with the mark of its header, as one left from an earlier round has
    another (https://www.sqlite.org/fileformat2.html, "WAL File Format")."""
    with log.open("rb") as file:
        header = file.read(_LOG_HEADER)
        size = struct.unpack_from(">I", header, 8)[0]
        if size not in (4096, 8192):
            return (log.stat().st_size - _LOG_HEADER) // (_FRAME_HEADER + 8192)
        count = 0
        while len(frame := file.read(_FRAME_HEADER + size)) == _FRAME_HEADER + size:
            count += frame[8:16] == header[16:24]
        return count
