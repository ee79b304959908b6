"""A state of an older format, brought to this one: inside the transaction of an apply, after a copy was made."""

from __future__ import annotations

import sqlite3
from itertools import count
from pathlib import Path

from hookline.errors import StateUnusable
from hookline.private_files import place
from hookline.state.rows import history_row, seal_history
from hookline.state.schema import FORMAT, HISTORY

ENTRY_COLUMNS = "serial, at, who, git_commit, git_branch, fingerprint, changes, lifted"


def keep_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
    """Put a copy of the whole database beside it, for its owner only, and return its path.

    To be called with the write lock held and nothing written yet. A copy that an interrupted apply has left is used
    again when it is the same. Raises StateUnusable when there is no place for it.
    """
    # Not by opening the file: closing it would let go of SQLite's locks on it
    # (https://www.sqlite.org/howtocorrupt.html, "posix_advisory_locks_canceled").
    image = connection.serialize()
    for number in count(1):
        copy = path.with_name(f"{path.name}.format-{written_in}" + (f".{number}" if number > 1 else ""))
        try:
            if not copy.exists() or copy.read_bytes() != image:
                place(copy, image)
        except FileExistsError:
            continue
        except OSError as failed:
            raise StateUnusable(
                f"the state {path} is of an older format, and a copy of it cannot be kept beside it: "
                f"{failed.strerror}",
                hint="nothing was changed; make its directory writable, with room for a second file of its size",
            ) from failed
        return copy
    raise AssertionError("there is always another number")


def migrate(connection: sqlite3.Connection, lineage: str) -> None:
    """Format 1 to 2: history gets its chain of hashes. Raises ValueError for an entry that cannot be read."""
    rows = connection.execute(f"SELECT {ENTRY_COLUMNS} FROM history ORDER BY serial").fetchall()  # noqa: S608 - constants
    connection.execute("DROP TABLE history")
    connection.execute(HISTORY)
    connection.executemany(
        "INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (history_row(record) for record in seal_history(lineage, rows)),
    )
    connection.execute("UPDATE meta SET format = ?", (FORMAT,))
