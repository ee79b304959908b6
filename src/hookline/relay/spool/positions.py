"""The table of checkpoints: how far each source is acknowledged."""

from __future__ import annotations

import sqlite3

import msgspec

from hookline.relay.sources.checkpoints import MOST
from hookline.relay.sources.port import Position

# A content has one row, also after its file was renamed or copied. `key` identifies it and is empty while nothing was
# read of the file. `at` is the time of the latest move, in Unix seconds. A pipe has device and inode 0.
TABLE = """
CREATE TABLE position (
  key BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, name TEXT NOT NULL, line INTEGER NOT NULL,
  offset INTEGER NOT NULL, head_length INTEGER NOT NULL, head_hash BLOB NOT NULL, tail_length INTEGER NOT NULL,
  tail_hash BLOB NOT NULL, packed INTEGER NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (key, device, inode)
) STRICT, WITHOUT ROWID;
CREATE INDEX position_at ON position (at);
"""
_FIELDS = Position.__struct_fields__
_COLUMNS = ", ".join(_FIELDS)
_READ = f"SELECT {_COLUMNS} FROM position ORDER BY at, name"
_WRITE = f"INSERT INTO position ({_COLUMNS}) VALUES ({', '.join(f':{field}' for field in _FIELDS)})"
# The same content, or the row of the same file from before anything was read of it.
_FORGET_SUPERSEDED = """
DELETE FROM position WHERE (key = :key AND key != x'') OR (key = x'' AND device = :device AND inode = :inode)
"""
_FORGET_OLDEST = "DELETE FROM position WHERE at <= (SELECT at FROM position ORDER BY at DESC LIMIT 1 OFFSET ?)"


def read_positions(connection: sqlite3.Connection) -> list[Position]:
    """Those of all sources, the one moved last at the end."""
    return [Position(**dict(zip(_FIELDS, row, strict=True))) for row in connection.execute(_READ)]


def write_position(connection: sqlite3.Connection, position: Position, *, now: float) -> None:
    """Within the transaction that makes the lines before it durable. What it supersedes is forgotten."""
    values = {**msgspec.structs.asdict(position), "at": now}
    connection.execute(_FORGET_SUPERSEDED, values)
    connection.execute(_WRITE, values)


def forget_oldest(connection: sqlite3.Connection, *, most: int = MOST) -> None:
    """Of more than `most` checkpoints, let go of those that did not move for the longest time.

    A file whose checkpoint is gone would be read again from its start, so there is room for very many.
    """
    connection.execute(_FORGET_OLDEST, (most,))
