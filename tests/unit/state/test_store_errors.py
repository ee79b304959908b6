"""Who holds the lock, as /proc/locks tells it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from hookline.state.store_errors import find_write_lock, lock_holder

LINES = [
    "1: POSIX  ADVISORY  READ  311 fd:01:4242 1073741826 1073742335",
    "2: FLOCK  ADVISORY  WRITE 312 fd:01:4242 0 EOF",
    "3: POSIX  ADVISORY  WRITE 313 fd:01:42 0 EOF",
    "3: -> POSIX  ADVISORY  WRITE 314 fd:01:4242 0 EOF",
    "4: POSIX  ADVISORY  WRITE 4711 fd:01:4242 1073741825 1073741825",
    "5: POSIX  ADVISORY  WRITE 0 fd:01:43 0 EOF",
]


def test_writer_of_a_file() -> None:
    """Only the process that holds a write lock on this very file counts: no reader, no waiting one, no other file."""
    assert 4711 == find_write_lock(LINES, 4242)
    assert find_write_lock(LINES, 7) is None


def test_writer_of_another_namespace() -> None:
    """A process that this one cannot see has no number."""
    assert find_write_lock(LINES, 43) is None


def test_holder_of_a_database(tmp_path: Path) -> None:
    """While a database is being written to, the process that does it is known; afterwards nobody is."""
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("BEGIN IMMEDIATE")
        assert lock_holder(path) == os.getpid()
        connection.execute("ROLLBACK")
        assert lock_holder(path) is None


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """Nobody holds a file that does not exist."""
    assert lock_holder(tmp_path / "none") is None
