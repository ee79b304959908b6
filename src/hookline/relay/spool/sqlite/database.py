"""Creates, opens and checks the spool's database. A damaged database is refused, never repaired."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote
from typing import Any, Final, Literal, Self

from hookline.descriptors import is_any_descriptor_left, lacks_descriptor
from hookline.errors import SpoolFull, SpoolStalled, SpoolUnusable
from hookline.paths import path_exists
from hookline.private_files import create_private_directory, sync_directory
from hookline.relay.spool.sqlite.lock import SpoolLock
from hookline.relay.spool.sqlite.permissions import map_os_errors, require_private
from hookline.relay.spool.sqlite.schema import (
    EARLIER_SPOOL_APPLICATION_ID,
    EARLIER_SPOOL_FORMAT,
    PAGE_BYTES,
    SPOOL_APPLICATION_ID,
    SPOOL_FORMAT,
    SPOOL_TABLES,
    keep_spool_copy,
    migrate_spool,
    require_migrations,
)
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess

DATABASE_FILE = "spool.db"
_EARLIER: Final = (SPOOL_APPLICATION_ID, EARLIER_SPOOL_FORMAT)
BUSY_SECONDS = 30.0
# The number of pages in the write-ahead log at which SQLite moves them into the database: 16 MiB. A page that many
# transactions have changed is moved once.
_CHECKPOINT_PAGES = 2000
# The page caches of a connection that stores and loads, and of one that counts or lists: that reads each page once.
_CACHE_KIB: Final = 24 * 1024
READING_CACHE_KIB: Final = 512

# How long a command waits for a starting relay that creates the spool at the same moment.
_PATIENCE_SECONDS: Final = 5.0
# UnicodeDecodeError: SQLite reports a damaged name of the schema that is not UTF-8.
FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)


def spool_exists(directory: Path) -> bool:
    """Whether a database exists in the spool's directory. Raises SpoolUnusable if that cannot be examined."""
    return path_exists(directory / DATABASE_FILE, error=SpoolUnusable)


def create_directory(directory: Path) -> None:
    """Create the spool's private directory, unless it exists. Raises SpoolUnusable, also when it is not private."""
    try:
        if not path_exists(directory / DATABASE_FILE, error=SpoolUnusable):
            create_private_directory(directory)
    except OSError as error:
        raise SpoolUnusable(f"cannot create the spool {directory}: {error.strerror}") from error
    require_private(directory, directory / DATABASE_FILE)


def create_or_open(directory: Path, access: StorageAccess = REAL_ACCESS) -> sqlite3.Connection:
    """Open the database of a spool whose lock is held; create or migrate it if necessary. Raises SpoolUnusable.

    A new database gets its name when it is complete. An empty one was therefore truncated later, and is refused.
    """
    path = directory / DATABASE_FILE
    with map_os_errors(directory):
        if not path_exists(path, error=SpoolUnusable):
            unfinished = path.with_suffix(".new")
            for leftover in directory.glob(f"{unfinished.name}*"):
                leftover.unlink()
            unfinished.touch(mode=0o600)
            _create(unfinished, access)
            unfinished.rename(path)
            sync_directory(directory)
    _migrate_if_older(path, access)
    return _connect(path, access)


def migrate_directory(directory: Path, access: StorageAccess = REAL_ACCESS, *, since: str) -> tuple[int, int]:
    """As SpoolStore.migrate."""
    path = directory / DATABASE_FILE
    require_existing(directory)
    lock = SpoolLock(directory, since=since, sleep=access.sleep)
    try:
        return _migrate_if_older(path, access), SPOOL_FORMAT
    finally:
        lock.release()


def _migrate_if_older(path: Path, access: StorageAccess) -> int:
    """Returns the format before."""
    with map_damage(path), closing(access.connect(path, isolation_level=None, timeout=BUSY_SECONDS)) as connection:
        written_in = read_format(connection, path)
        if written_in < SPOOL_FORMAT:
            require_migrations(path, written_in, SPOOL_FORMAT)
            keep_spool_copy(connection, path, written_in)
            with transaction(connection):
                migrate_spool(connection, written_in, SPOOL_FORMAT)
    return written_in


def _create(path: Path, access: StorageAccess) -> None:
    try:
        with closing(access.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN; {SPOOL_TABLES} PRAGMA application_id = {SPOOL_APPLICATION_ID}; "
                f"PRAGMA user_version = {SPOOL_FORMAT}; COMMIT;"
            )
    except sqlite3.DatabaseError as error:
        raise SpoolUnusable(f"cannot create the spool's database {path}: {error}") from error


def open_existing(
    directory: Path,
    access: StorageAccess = REAL_ACCESS,
    *,
    mode: Literal["ro", "rw"] = "rw",
    cache_kib: int = _CACHE_KIB,
) -> sqlite3.Connection:
    """Open the database of an existing spool, read-only or for reading and writing. Raises SpoolUnusable."""
    require_existing(directory)
    return _connect(directory / DATABASE_FILE, access, mode, cache_kib=cache_kib)


def require_existing(directory: Path) -> None:
    """Raises SpoolUnusable if no spool exists, or if it is not private."""
    path = directory / DATABASE_FILE
    if not path_exists(path, error=SpoolUnusable):
        raise SpoolUnusable(
            f"spool not found: {directory}",
            hint="start a relay, which creates it, or name another with --spool or HOOKLINE_SPOOL",
        )
    require_private(directory, path)


def _connect(
    path: Path, access: StorageAccess, mode: Literal["ro", "rw"] = "rw", *, cache_kib: int = _CACHE_KIB
) -> sqlite3.Connection:
    with map_damage(path):
        connection = access.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        try:
            connection.execute(f"PRAGMA cache_size = -{cache_kib}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            _require_current(read_format(connection, path), path)
        except BaseException:
            connection.close()
            raise
    return connection


def _require_current(version: int, path: Path) -> None:
    if version < SPOOL_FORMAT:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by an older hookline "
            f"(format {version}; this version reads {SPOOL_FORMAT})",
            hint="start a relay (`hookline relay --drain`): it keeps a copy and migrates the spool",
        )


def read_format(connection: sqlite3.Connection, path: Path) -> int:
    """Raises SpoolUnusable as check_format does."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    check_format(application, version, path)
    return int(version)


def check_format(application: int, version: int, path: Path) -> None:
    """Raises SpoolUnusable for a newer format, for the database of an earlier build, and for any other file."""
    if application == EARLIER_SPOOL_APPLICATION_ID or (application, version) == _EARLIER:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by an earlier build of hookline, whose format is not supported",
            hint="deliver its backlog with that build (`hookline relay --drain`), then name a new spool with --spool",
        )
    if application != SPOOL_APPLICATION_ID:
        fault = "is empty: its contents were truncated" if path.stat().st_size == 0 else "is not a spool of hookline"
        raise SpoolUnusable(f"{path} {fault}", hint="restore the spool from a backup, or name another with --spool")
    if version > SPOOL_FORMAT:
        raise SpoolUnusable(
            f"the spool {path.parent} was written by a newer hookline "
            f"(format {version}; this version reads {SPOOL_FORMAT})",
            hint="install that version, or give this one a spool of its own",
        )


@contextmanager
def map_damage(path: Path) -> Iterator[None]:
    """Raises SpoolUnusable, with the next step, for an error of SQLite."""
    try:
        yield
    except FAULTS as error:
        raise _unusable(error, path) from error


@contextmanager
def reading(directory: Path, access: StorageAccess) -> Iterator[sqlite3.Connection]:
    """A read-only connection to the database of an existing spool, for a few statements. Raises SpoolUnusable.

    A relay counts its backlog on such a connection. A larger cache would hold the whole index of a long backlog, and
    the thread's allocator would keep that memory.
    """
    connection = open_existing(directory, access, mode="ro", cache_kib=READING_CACHE_KIB)
    with closing(connection), map_damage(directory / DATABASE_FILE):
        yield connection


def named_rows(cursor: sqlite3.Cursor) -> Iterator[dict[str, Any]]:
    """The rows of a query, each by column name."""
    names = [name for name, *_ in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


class OpenSpool:
    """The open database of an existing spool, until the end of the block. Raises SpoolUnusable."""

    def __init__(
        self, directory: Path, access: StorageAccess = REAL_ACCESS, *, mode: Literal["ro", "rw"] = "rw"
    ) -> None:
        self._path = directory / DATABASE_FILE
        self._access = access
        self._connection = open_existing(directory, access, mode=mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection, *, synced: bool = True) -> Iterator[None]:
    """Commit the whole block or nothing of it. Raises SpoolFull for a full disk, SpoolUnusable for damage.

    If `synced`, this transaction and all earlier ones are on the disk afterwards. Otherwise the transaction survives
    a kill of the process, but not always a power cut (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """
    try:
        connection.execute("PRAGMA synchronous = FULL" if synced else "PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:  # a full disk has already rolled it back
            connection.execute("ROLLBACK")
        if isinstance(error, FAULTS):
            path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
            raise _unusable(error, path) from error
        raise


def sync_log(path: Path, access: StorageAccess) -> None:
    """Sync the transactions that were not synced: all of them are in the write-ahead log. Raises SpoolUnusable,
    and SpoolStalled if no file descriptor is left.

    A transaction would need disk space and the database lock.
    """
    try:
        descriptor = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            access.sync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if lacks_descriptor(error):
            raise no_descriptor(path) from error
        raise SpoolUnusable(
            f"the spool's database {path} cannot be synced: {error.strerror}",
            hint="check its disk; deliveries of the last second may be sent again",
        ) from error


def _unusable(error: sqlite3.DatabaseError | UnicodeDecodeError, path: Path) -> SpoolUnusable:
    if isinstance(error, UnicodeDecodeError):
        return damaged(path, "a text is not UTF-8")
    # The low byte of the code is the kind of fault; the other bytes are details.
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            hint = "free disk space; nothing was changed"
            return SpoolFull(f"the disk of the spool {path.parent} is full", hint=hint)
        case sqlite3.SQLITE_BUSY:
            finding = f"another process has locked the spool {path.parent} for {BUSY_SECONDS:g} s"
            return SpoolStalled(finding, hint="try again later")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR if not is_any_descriptor_left():
            return no_descriptor(path)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case _:
            return SpoolUnusable(
                f"the spool's database {path} cannot be used: {error}",
                hint="nothing was changed; check its disk and its permissions",
            )


def no_descriptor(path: Path) -> SpoolStalled:
    return SpoolStalled(
        f"no file descriptor is left for the spool's database {path}",
        hint="raise the limit of open files (LimitNOFILE, ulimit -n); nothing was changed",
    )


def damaged(path: Path, detail: str) -> SpoolUnusable:
    return SpoolUnusable(
        f"the spool's database {path} is damaged: {detail}",
        hint=f"`hookline spool recover {quote(str(path.parent))} NEW` saves the readable rows in a new spool",
    )


def create_if_missing(directory: Path, access: StorageAccess = REAL_ACCESS, *, since: str) -> None:
    """As SpoolStore.create_if_missing. `pause` and `dead import` can run before the first relay."""
    deadline = access.monotonic() + _PATIENCE_SECONDS
    while not path_exists(directory / DATABASE_FILE, error=SpoolUnusable):
        create_directory(directory)
        try:
            lock = SpoolLock(directory, since=since, sleep=access.sleep)
        except SpoolUnusable:
            if access.monotonic() > deadline:
                raise
            access.sleep(0.05)
            continue
        try:
            create_or_open(directory, access).close()
        finally:
            lock.release()
