"""Opening the spool's database: made once, checked every time, refused rather than repaired."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from hookline.errors import SpoolUnusable
from hookline.relay.spool.schema import APPLICATION_ID, FORMAT, TABLES

FILE = "spool.db"
BUSY_SECONDS = 30.0


def make_directory(directory: Path) -> None:
    """The spool's directory, private to its owner. Raises SpoolUnusable."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolUnusable(f"cannot make the spool {directory}: {error.strerror}") from error


def create_or_open(directory: Path) -> sqlite3.Connection:
    """The database of a spool whose lock is held, made when there is none. Raises SpoolUnusable.

    A new one is finished under another name first: a crash never leaves a half-made or empty one behind, so an
    empty one was cut off by somebody and is refused.
    """
    path = directory / FILE
    if not path.exists():
        unfinished = path.with_suffix(".new")
        for leftover in directory.glob(f"{unfinished.name}*"):
            leftover.unlink()
        unfinished.touch(mode=0o600)
        _make(unfinished)
        unfinished.rename(path)
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    return _connect(path)


def _make(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
            )
    except sqlite3.DatabaseError as error:
        raise SpoolUnusable(f"cannot make the spool's database {path}: {error}") from error


def open_existing(directory: Path, *, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """The database of a spool that must be there, to read or also to write. Raises SpoolUnusable."""
    path = directory / FILE
    if not path.exists():
        raise SpoolUnusable(
            f"there is no spool at {directory}",
            hint="a relay makes it; name another with --spool or HOOKLINE_SPOOL",
        )
    return _connect(path, mode)


def _connect(path: Path, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise SpoolUnusable(
            f"the spool's database {path} cannot be used: {error}",
            hint="nothing was changed; restore it from a backup, or move its directory away",
        ) from error
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # 32 MiB
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        what = "is empty: its contents were cut off" if path.stat().st_size == 0 else "is not a spool of hookline"
        raise SpoolUnusable(f"{path} {what}", hint="restore it from a backup, or name another with --spool")
    if version > FORMAT:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by a newer hookline (format {version}, this one knows {FORMAT})",
            hint="install that version, or give this one a spool of its own",
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block, synced, or nothing of it. Raises SpoolUnusable for a full disk or a damaged file."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise SpoolUnusable(f"the spool cannot be written: {error}") from error
