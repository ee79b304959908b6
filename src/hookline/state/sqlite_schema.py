"""The tables of a state in SQLite, and the migration of older formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path

from hookline.errors import StateUnusable
from hookline.paths import path_exists
from hookline.private_files import create_private_file

# "hkst", for file(1) and for hookline: https://www.sqlite.org/pragma.html#pragma_application_id
STATE_APPLICATION_ID = 0x686B7374
# "hkls": builds before the first release wrote it. Their formats 1 and 2 are not formats of today.
EARLIER_STATE_APPLICATION_ID = 0x686B6C73
STATE_FORMAT = 1

STATE_TABLES = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    lineage TEXT NOT NULL,
    serial INTEGER NOT NULL
) STRICT;
CREATE TABLE webhooks (
    organization TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    document TEXT NOT NULL,
    serial INTEGER NOT NULL,
    PRIMARY KEY (organization, sandbox)
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    serial INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    git_commit TEXT,
    git_branch TEXT,
    fingerprint TEXT NOT NULL,
    changes TEXT NOT NULL,
    lifted TEXT NOT NULL,
    overrides TEXT NOT NULL,
    policy TEXT,
    note TEXT,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE policies (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    document TEXT NOT NULL,
    serial INTEGER NOT NULL
) STRICT;
CREATE TABLE moves (
    serial INTEGER NOT NULL,
    old_organization TEXT NOT NULL,
    old_sandbox TEXT NOT NULL,
    new_organization TEXT NOT NULL,
    new_sandbox TEXT NOT NULL,
    PRIMARY KEY (serial, old_organization, old_sandbox)
) STRICT, WITHOUT ROWID;
"""

Migration = Callable[[sqlite3.Connection], None]

MIGRATIONS: dict[int, Migration] = {}
"""Format → the function that changes the tables of this format into those of the next one.

The table is empty because format 1 is the first one. A function runs inside a transaction: it must not commit, and
it leaves `meta.format` alone. It raises ValueError for a row that it cannot read.
"""


def can_migrate(written_in: int) -> bool:
    """Whether every step from format `written_in` to the current one has its migration."""
    return all(step in MIGRATIONS for step in range(written_in, STATE_FORMAT))


def migrate(connection: sqlite3.Connection, written_in: int) -> None:
    """Run every migration from format `written_in` to the current one. Raises ValueError like a migration."""
    for step in range(written_in, STATE_FORMAT):
        MIGRATIONS[step](connection)
    connection.execute("UPDATE meta SET format = ?", (STATE_FORMAT,))


def migrated_in_memory(connection: sqlite3.Connection, written_in: int) -> sqlite3.Connection:
    """A migrated copy, so that reading writes no file; the caller closes it. Raises ValueError like a migration."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        copy.deserialize(connection.serialize())
        migrate(copy, written_in)
    except BaseException:
        copy.close()
        raise
    return copy


def keep_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
    """Put a copy of the whole database beside it, readable by its owner only, and return its path.

    Call it while holding the write lock, before the first write. If an interrupted apply left the same copy, that
    copy is used. Raises StateUnusable if the copy cannot be written.
    """
    # Do not open the file to copy it: closing it would release SQLite's locks on it
    # (https://www.sqlite.org/howtocorrupt.html, "posix_advisory_locks_canceled").
    image = connection.serialize()
    for number in count(1):
        copy = path.with_name(f"{path.name}.format-{written_in}" + (f".{number}" if number > 1 else ""))
        try:
            if not path_exists(copy, error=StateUnusable) or copy.read_bytes() != image:
                create_private_file(copy, image)
        except FileExistsError:
            continue
        except OSError as failed:
            raise StateUnusable(
                f"the state {path} has an older format, and its copy cannot be written: {failed.strerror}",
                hint="nothing was changed; make its directory writable, with room for a second file of its size",
            ) from failed
        return copy
    raise AssertionError("a free number always exists")
