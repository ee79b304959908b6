"""`hookline spool copy`: a copy of an embedded spool at one moment, also while a relay runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from hookline.errors import SpoolUnusable, WrongUse
from hookline.paths import is_directory, path_exists, resolved
from hookline.private_files import sync_directory
from hookline.relay.spool.sqlite.database import DATABASE_FILE, create_directory, map_damage, open_existing
from hookline.relay.spool.sqlite.permissions import map_os_errors
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess


def copy_spool(old: Path, new: Path, access: StorageAccess = REAL_ACCESS) -> None:
    """Copy the spool `old` to `new`, a directory that does not exist or is empty. `new` appears when it is complete.

    Raises WrongUse when `new` is not empty; SpoolUnusable when `old` is not a spool of this format, or when the disk
    of `new` has no room.
    """
    with map_os_errors(new):
        if path_exists(new) and (not is_directory(new) or any(new.iterdir())):
            raise WrongUse(f"{new} already exists", hint="name a new directory, because nothing is overwritten")
        target = resolved(new)  # `.` has no name
        work = target.with_name(f".{target.name}.copying")
        shutil.rmtree(work, ignore_errors=True)  # the rest of an interrupted run
        try:
            create_directory(work)
            with closing(open_existing(old, access, mode="ro")) as connection, map_damage(old / DATABASE_FILE):
                _write(connection, work / DATABASE_FILE)
            work.rename(target)
            sync_directory(target.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _write(connection: sqlite3.Connection, path: Path) -> None:
    path.touch(mode=0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(path),))
        with closing(sqlite3.connect(path)) as copy:  # a copy has no write-ahead log until it is asked for
            copy.execute("PRAGMA journal_mode = WAL")
        with path.open("rb") as written:
            os.fsync(written.fileno())
    except sqlite3.DatabaseError as failed:
        if failed.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise SpoolUnusable(
                f"the copy {path} cannot be written: {failed}", hint="choose a disk with room for the whole spool"
            ) from failed
        raise
