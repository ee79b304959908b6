"""Migrations of a spool's database: when a relay opens an older format, it keeps a copy and then applies them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: Final[dict[int, Migration]] = {}
"""By format: the function that brings a database of this format to the next one, inside a transaction."""


def require_migrations(path: Path, written_in: int, target: int) -> None:
    """Raises SpoolUnusable when no chain of migrations leads from the format `written_in` to `target`."""
    missing = [number for number in range(written_in, target) if number not in MIGRATIONS]
    if missing:
        raise SpoolUnusable(
            f"the spool {path.parent} cannot be migrated: no migration from format {missing[0]} exists",
            hint="restore it from a backup, or name another with --spool",
        )


def keep_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
    """Copy the whole database into a file beside it, for its owner only, and return the path of the copy.

    A copy from an interrupted migration is replaced. Raises SpoolUnusable when the copy cannot be written.
    """
    copy = path.with_name(f"{path.name}.format-{written_in}")
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        unfinished.rename(copy)
    except (OSError, sqlite3.DatabaseError) as failed:
        unfinished.unlink(missing_ok=True)
        raise SpoolUnusable(
            f"the spool {path} is of an older format, and a copy of it cannot be kept beside it: {failed}",
            hint="nothing was changed; make its directory writable, with room for a second file of its size",
        ) from failed
    return copy


def migrate(connection: sqlite3.Connection, written_in: int, target: int) -> None:
    """Bring the database from the format `written_in` to `target`. To be called inside a transaction."""
    for number in range(written_in, target):
        MIGRATIONS[number](connection)
    connection.execute(f"PRAGMA user_version = {target}")
