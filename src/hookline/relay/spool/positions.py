"""The table of checkpoints: how far each source is acknowledged."""

from __future__ import annotations

import sqlite3

import msgspec

from hookline.relay.sources.port import Position

MOST = 100_000

# A content has one row, whatever file it is in at the moment: `key` (empty: written by format 1). `at` is when it
# was moved last, in Unix seconds. A pipe has device and inode 0.
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
_READ = f"SELECT {_COLUMNS}, at FROM position ORDER BY at, name"
_WRITE = f"INSERT INTO position ({_COLUMNS}, at) VALUES ({', '.join(f':{field}' for field in _FIELDS)}, :at)"
# The same content, or what an older hookline wrote for the same file.
_FORGET_SUPERSEDED = """
DELETE FROM position WHERE (key = :key AND key != x'') OR (key = x'' AND device = :device AND inode = :inode)
"""
_FORGET_OLDEST = "DELETE FROM position WHERE at <= (SELECT at FROM position ORDER BY at DESC LIMIT 1 OFFSET ?)"


class Checkpoint(msgspec.Struct, frozen=True):
    """A position, and when it was moved there (Unix seconds)."""

    position: Position
    at: float


def read_checkpoints(connection: sqlite3.Connection) -> list[Checkpoint]:
    """Those of all sources, the one moved last at the end."""
    return [
        Checkpoint(Position(**dict(zip(_FIELDS, row[:-1], strict=True))), row[-1])
        for row in connection.execute(_READ)
    ]


def read_positions(connection: sqlite3.Connection) -> list[Position]:
    return [one.position for one in read_checkpoints(connection)]


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


def migrate_positions_from_1(connection: sqlite3.Connection) -> None:
    """Give the table of format 1 its present form, within the transaction of the whole migration.

    Its rows have no key and no tail: they belong to their inode and beginning, as before, until they are moved.
    """
    connection.execute("ALTER TABLE position RENAME TO position_1")
    for statement in TABLE.split(";"):
        connection.execute(statement)
    connection.execute(
        f"INSERT INTO position ({_COLUMNS}, at) SELECT name, line, offset, device, inode, head_length, head_hash, "
        "0, x'', 0, x'', at FROM position_1"
    )
    connection.execute("DROP TABLE position_1")
