"""The starts of works since their last progress, and the items that were in hand at a crash (spool.CrashNotes).

Functions on a connection, called inside a transaction.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from hookline.observe.snapshot import CrashStatus
from hookline.relay.spool.crash_notes import CRASHED, CrashNote
from hookline.relay.spool.sqlite import settle

# `starts` counts since the last progress. `in_hand` is the item that is processed now. `at` is the time of the latest
# start. `crashed` has the items that were in hand at a crash.
WORK_TABLES: Final = """
CREATE TABLE work (
  name TEXT PRIMARY KEY, starts INTEGER NOT NULL, in_hand BLOB, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE crashed (work TEXT NOT NULL, item BLOB NOT NULL, PRIMARY KEY (work, item)) STRICT, WITHOUT ROWID;
"""
_READ: Final = "SELECT starts FROM work WHERE name = ?"
_KEEP_ITEM: Final = """
INSERT OR IGNORE INTO crashed (work, item) SELECT name, in_hand FROM work WHERE name = ? AND in_hand IS NOT NULL
"""
_COUNT: Final = """
INSERT INTO work (name, starts, at) VALUES (?, 1, ?)
ON CONFLICT (name) DO UPDATE SET starts = starts + 1, in_hand = NULL, at = excluded.at
"""
_TAKE: Final = """
INSERT INTO work (name, starts, in_hand, at) VALUES (?, 0, ?, ?)
ON CONFLICT (name) DO UPDATE SET in_hand = excluded.in_hand
"""
_ITEMS: Final = "SELECT item FROM crashed WHERE work = ? ORDER BY item"
_CRASHED_DELIVERIES: Final = """
SELECT seq FROM crashed JOIN delivery ON id = item WHERE work = ? AND state = 0 ORDER BY seq
"""
_OLD: Final = "SELECT name FROM work WHERE at < ?"


def count_start(connection: sqlite3.Connection, work: str, now: float) -> CrashNote:
    row = connection.execute(_READ, (work,)).fetchone()
    connection.execute(_KEEP_ITEM, (work,))
    connection.execute(_COUNT, (work, now))
    return CrashNote(0 if row is None else row[0], tuple(item for (item,) in connection.execute(_ITEMS, (work,))))


def take_in_hand(connection: sqlite3.Connection, work: str, item: bytes | None, started: float) -> None:
    """`started` is the time of a start in this run, for a work whose note is gone because it made progress."""
    connection.execute(_TAKE, (work, item, started))


def dead_letter_crashed(connection: sqlite3.Connection, work: str, now: float) -> int:
    seqs = [seq for (seq,) in connection.execute(_CRASHED_DELIVERIES, (work,))]
    connection.execute("DELETE FROM crashed WHERE work = ?", (work,))
    return settle.dead_letter(connection, seqs, CRASHED, now)


def has_starts(connection: sqlite3.Connection, work: str) -> bool:
    row = connection.execute(_READ, (work,)).fetchone()
    return row is not None and row[0] > 0


def end_count(connection: sqlite3.Connection, work: str) -> None:
    connection.execute("UPDATE work SET starts = 0 WHERE name = ?", (work,))


def forget_start(connection: sqlite3.Connection, work: str) -> None:
    connection.execute("UPDATE work SET starts = max(0, starts - 1) WHERE name = ?", (work,))


def forget(connection: sqlite3.Connection, work: str) -> None:
    """Forget the work with its items."""
    connection.execute("DELETE FROM crashed WHERE work = ?", (work,))
    connection.execute("DELETE FROM work WHERE name = ?", (work,))


def forget_old(connection: sqlite3.Connection, before: float) -> None:
    """Forget works that were not started since `before`: sources that no longer exist."""
    for (work,) in connection.execute(_OLD, (before,)).fetchall():
        forget(connection, work)


def read_crash_statuses(connection: sqlite3.Connection) -> list[CrashStatus]:
    found = connection.execute("SELECT name, starts FROM work WHERE starts > 0 ORDER BY name")
    return [CrashStatus(work=name, starts=starts) for name, starts in found]
