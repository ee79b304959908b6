"""Opening the spool's database: made once, checked every time, refused rather than repaired."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal

from hookline.errors import SpoolFull, SpoolStalled, SpoolUnusable
from hookline.private_files import sync_directory
from hookline.relay.spool.sqlite.lock import SpoolLock
from hookline.relay.spool.sqlite.permissions import refusal_named, require_private
from hookline.relay.spool.sqlite.schema import (
    EARLIER_SPOOL_APPLICATION_ID,
    PAGE_SIZE,
    SPOOL_APPLICATION_ID,
    SPOOL_FORMAT,
    SPOOL_TABLES,
    keep_spool_copy,
    migrate_spool,
    require_migrations,
)

DATABASE_FILE = "spool.db"
BUSY_SECONDS = 30.0
# Pages in the write-ahead log before they are moved into the database: 16 MiB. A page that many groups of rows have
# changed is moved once.
_CHECKPOINT_PAGES = 2000


# The second is what becomes of a message about a name in the schema that is no text any more.
_FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)


def make_directory(directory: Path) -> None:
    """The spool's directory, private to its owner. Raises SpoolUnusable, also for one that is not private."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolUnusable(f"cannot make the spool {directory}: {error.strerror}") from error
    require_private(directory, directory / DATABASE_FILE)


def create_or_open(directory: Path) -> sqlite3.Connection:
    """The database of a spool whose lock is held, made when there is none. Raises SpoolUnusable.

    A new one is finished under another name first: a crash never leaves a half-made or empty one behind, so an
    empty one was cut off by somebody and is refused.
    """
    path = directory / DATABASE_FILE
    with refusal_named(directory):
        if not path.exists():
            unfinished = path.with_suffix(".new")
            for leftover in directory.glob(f"{unfinished.name}*"):
                leftover.unlink()
            unfinished.touch(mode=0o600)
            _make(unfinished)
            unfinished.rename(path)
            sync_directory(directory)
    _migrate_if_older(path)
    return _connect(path)


def _migrate_if_older(path: Path) -> None:
    with damage_named(path), closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)) as connection:
        written_in = format_of(connection, path)
        if written_in < SPOOL_FORMAT:
            require_migrations(path, written_in, SPOOL_FORMAT)
            keep_spool_copy(connection, path, written_in)
            with transaction(connection):
                migrate_spool(connection, written_in, SPOOL_FORMAT)


def _make(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN; {SPOOL_TABLES} PRAGMA application_id = {SPOOL_APPLICATION_ID}; "
                f"PRAGMA user_version = {SPOOL_FORMAT}; COMMIT;"
            )
    except sqlite3.DatabaseError as error:
        raise SpoolUnusable(f"cannot make the spool's database {path}: {error}") from error


def open_existing(directory: Path, *, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """The database of a spool that must be there, to read or also to write. Raises SpoolUnusable."""
    path = directory / DATABASE_FILE
    if not path.exists():
        raise SpoolUnusable(
            f"there is no spool at {directory}",
            hint="a relay makes it; name another with --spool or HOOKLINE_SPOOL",
        )
    require_private(directory, path)
    return _connect(path, mode)


def _connect(path: Path, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    with damage_named(path):
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
    return connection


def format_of(connection: sqlite3.Connection, path: Path) -> int:
    """The format that a spool's database was written in.

    Raises SpoolUnusable for a newer format, for the database of an earlier build, and for any other file.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    check_format(application, version, path)
    return int(version)


def check_format(application: int, version: int, path: Path) -> None:
    """Raises SpoolUnusable unless the ids in a database's header are those of a spool that this hookline reads."""
    if application == EARLIER_SPOOL_APPLICATION_ID:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by an earlier build of hookline, whose format is not supported",
            hint="deliver its backlog with that build (`hookline relay --drain`), then name a new spool with --spool",
        )
    if application != SPOOL_APPLICATION_ID:
        what = "is empty: its contents were cut off" if path.stat().st_size == 0 else "is not a spool of hookline"
        raise SpoolUnusable(f"{path} {what}", hint="restore it from a backup, or name another with --spool")
    if version > SPOOL_FORMAT:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by a newer hookline "
            f"(format {version}, this one knows {SPOOL_FORMAT})",
            hint="install that version, or give this one a spool of its own",
        )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA cache_size = -32768")  # 32 MiB
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    version = format_of(connection, path)
    if version < SPOOL_FORMAT:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by an older hookline "
            f"(format {version}, this one knows {SPOOL_FORMAT})",
            hint="`hookline relay --drain`, or any other relay, migrates it first, after a copy",
        )


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Whatever SQLite finds wrong with the database becomes SpoolUnusable, with the way out."""
    try:
        yield
    except _FAULTS as error:
        raise _unusable(error, path) from error


@contextmanager
def transaction(connection: sqlite3.Connection, *, synced: bool = True) -> Iterator[None]:
    """All of the block or nothing of it. Raises SpoolFull for a full disk, SpoolUnusable for damage.

    When `synced`, it is on the disk afterwards, with all that was written before. Otherwise a process that is killed
    loses nothing of it, but a machine that loses power may (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """
    try:
        connection.execute("PRAGMA synchronous = FULL" if synced else "PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if connection.in_transaction:  # a full disk has already rolled it back
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except _FAULTS as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise _unusable(error, _path(connection)) from error


def sync_log(path: Path) -> None:
    """Put on the disk what transactions have written that were not synced: all of it is in the write-ahead log.

    Without a transaction of its own, which would need room and a turn at the database. Raises SpoolUnusable.
    """
    try:
        descriptor = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SpoolUnusable(
            f"the spool's database {path} cannot be synced: {error.strerror}",
            hint="look at its disk; outcomes of the last second may be sent again",
        ) from error


def _path(connection: sqlite3.Connection) -> Path:
    return Path(connection.execute("PRAGMA database_list").fetchone()[2])


def _unusable(error: sqlite3.DatabaseError | UnicodeDecodeError, path: Path) -> SpoolUnusable:
    if isinstance(error, UnicodeDecodeError):
        return _damaged(path, "what should be text is none")
    # The low byte of the code is the kind of fault, the rest of it the place.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return SpoolFull(f"the disk of the spool {path.parent} is full", hint="make room; nothing was changed")
        case sqlite3.SQLITE_BUSY:
            return SpoolStalled(
                f"another process has kept the spool {path.parent} for {BUSY_SECONDS:g} s", hint="try again later"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return _damaged(path, str(error))
        case _:
            return SpoolUnusable(
                f"the spool's database {path} cannot be used: {error}",
                hint="nothing was changed; look at its disk and its permissions",
            )


def _damaged(path: Path, how: str) -> SpoolUnusable:
    return SpoolUnusable(
        f"the spool's database {path} is damaged: {how}",
        hint=f"`hookline spool recover {path.parent} NEW` saves what can be read into a new spool",
    )


# A spool that is made before any relay has run: `pause` and `dead import` have something to keep in it.
# A relay that starts at the same moment has made it by then.
_PATIENCE_SECONDS: Final = 5.0


def make_if_missing(directory: Path, *, since: str) -> None:
    """Make an empty spool where there is none. `since` as for SqliteSpool. Raises SpoolUnusable."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (directory / DATABASE_FILE).exists():
        make_directory(directory)
        try:
            lock = SpoolLock(directory, since=since)
        except SpoolUnusable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        try:
            create_or_open(directory).close()
        finally:
            lock.release()
