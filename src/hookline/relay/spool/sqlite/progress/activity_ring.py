"""The ring of minutes (relay/spool/activity.py) in the embedded spool. `store_minute` is called in a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hookline.model import Address
from hookline.relay.spool.activity import MAX_MINUTES_AHEAD, MinuteActivity, combined, oldest_minute

# Rows name their webhook by text: they outlive the row of the webhook. Both texts of the sum of the rest are empty.
ACTIVITY_TABLE: Final = """
CREATE TABLE activity (
  minute INTEGER NOT NULL, organization TEXT NOT NULL, sandbox TEXT NOT NULL, accepted INTEGER NOT NULL,
  failed INTEGER NOT NULL, median_seconds REAL, p99_seconds REAL, pending INTEGER NOT NULL,
  busy_seconds REAL NOT NULL, PRIMARY KEY (minute, organization, sandbox)
) STRICT, WITHOUT ROWID;
"""
_COLUMNS: Final = (
    "minute, organization, sandbox, accepted, failed, median_seconds, p99_seconds, pending, busy_seconds"
)
_READ: Final = f"""
SELECT {_COLUMNS} FROM activity WHERE minute >= ? ORDER BY minute, organization = '', organization, sandbox
"""
_READ_MINUTE: Final = f"SELECT {_COLUMNS} FROM activity WHERE minute = ?"
_REMOVE: Final = "DELETE FROM activity WHERE minute < ? OR minute > ? OR minute = ?"
_WRITE: Final = f"INSERT INTO activity ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REST: Final = ("", "")


def read_activity(connection: sqlite3.Connection, since_minute: int) -> list[MinuteActivity]:
    """As admin.SpoolStatistics.activity."""
    return _parsed(connection.execute(_READ, (since_minute,)))


def _parsed(rows: Iterable[tuple[Any, ...]]) -> list[MinuteActivity]:
    return [
        MinuteActivity(minute, None if (organization, sandbox) == _REST else Address(organization, sandbox), *rest)
        for minute, organization, sandbox, *rest in rows
    ]


def store_minute(connection: sqlite3.Connection, rows: Sequence[MinuteActivity]) -> None:
    """Add rows of one minute, and remove the minutes for which the ring has no room."""
    minute = rows[0].minute
    after = combined(_parsed(connection.execute(_READ_MINUTE, (minute,))), rows)
    connection.execute(_REMOVE, (oldest_minute(minute), minute + MAX_MINUTES_AHEAD, minute))
    connection.executemany(
        _WRITE,
        [
            (one.minute, *(one.address or _REST), one.accepted, one.failed, one.median_seconds, one.p99_seconds,
             one.pending, one.busy_seconds)
            for one in after
        ],
    )  # fmt: skip
