"""The spool's tables. One database file; DESIGN's "The spool" is the reason for each of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hookline.errors import SpoolUnusable
from hookline.relay.sources.checkpoints import MAX_CHECKPOINTS
from hookline.relay.sources.source import Position

# The table of checkpoints: how far each source is acknowledged.
# A content has one row, also after its file was renamed or copied. `key` identifies it and is empty while nothing was
# read of the file. `at` is the time of the latest move, in Unix seconds. A pipe has device and inode 0.
POSITION_TABLE = """
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


def forget_oldest(connection: sqlite3.Connection, *, most: int = MAX_CHECKPOINTS) -> None:
    """Of more than `most` checkpoints, let go of those that did not move for the longest time.

    A file whose checkpoint is gone would be read again from its start, so there is room for very many.
    """
    connection.execute(_FORGET_OLDEST, (most,))


SPOOL_APPLICATION_ID = 0x686B7370  # "hksp"
EARLIER_SPOOL_APPLICATION_ID = 0x686B6C70  # "hklp": builds before the first release; their formats are not read
SPOOL_FORMAT = 1
PAGE_SIZE = 8192  # a row with its payload is some 900 bytes: fewer, larger pages are written faster

# `disabled`: the applied webhook says so. `paused`: since when somebody has paused it by hand. `held`: since when it
# is either of them: age stands still meanwhile, and `idle` is how many seconds it stood still before.
# `stopped`: why the endpoint is gone (410), and `stopped_as` the hash of the configuration that it was found with.
# `not_before`: the endpoint asked to be left alone until then. `hurried`: when `retry-now` was last said.
WEBHOOK = """
CREATE TABLE webhook (
  n INTEGER PRIMARY KEY, organization TEXT NOT NULL, sandbox TEXT NOT NULL,
  disabled INTEGER NOT NULL DEFAULT 0, paused REAL, held REAL, idle REAL NOT NULL DEFAULT 0,
  stopped TEXT, stopped_as TEXT, not_before REAL, hurried REAL,
  UNIQUE (organization, sandbox)
) STRICT;
"""

# One index answers three questions: what comes next for a webhook (`due` NULL, in the order of `seq`), how much is
# pending, and what is the oldest. The other three are smaller, or empty while all goes well. That of the dead holds
# whatever they are chosen by, so that no filter reads the letters themselves; `seq` is in it for its order.
INDEXES = """
CREATE INDEX delivery_pending ON delivery (webhook, seq, due) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (webhook, due) WHERE state = 0 AND due IS NOT NULL;
CREATE INDEX delivery_order ON delivery (order_key, seq) WHERE state = 0 AND order_key IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (webhook, settled, seq, http, channel, status, reason) WHERE state = 2;
CREATE INDEX delivery_done ON delivery (settled) WHERE state IN (1, 3);
"""

SPOOL_TABLES = f"""
-- How often each thing has happened in the whole life of this spool. Written in the transaction that makes it
-- happen, so that read + replayed = delivered + skipped + rejected + dead + duplicates + pending at every commit.
-- `records` is no such count: it is how many delivered or discarded rows are kept at the moment.
CREATE TABLE tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;

{POSITION_TABLE}{WEBHOOK}
-- `state` is a port.State.
-- `seq` is the order of reading. `due` is NULL until the first attempt, then the Unix time of the next one.
-- `since` is when it was read or replayed, by the webhook's own clock (standing.Clock). `attempts` are all that were
-- made, `tries` those that count for the retry schedule, `refusals` how often it was refused as a probe while
-- others passed. `history` are its latest failed attempts, in JSON.
-- A delivered or discarded row has no body any more; it stays for duplicates and for tracing.
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, webhook INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  due REAL, order_key INTEGER, attempts INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  refusals INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, settled REAL, request_id TEXT NOT NULL,
  channel TEXT NOT NULL, status TEXT NOT NULL, event_time TEXT, source TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT, http INTEGER, detail TEXT, history TEXT, body BLOB
) STRICT;
{INDEXES}
-- Lines (`part` is -1), or events of a line, that could not be read. `data` is the line, or the beginning of an
-- endless one; `again` is 1 when a relay shall read it once more.
CREATE TABLE rejected (
  n INTEGER PRIMARY KEY, at REAL NOT NULL, source TEXT NOT NULL, line INTEGER NOT NULL, part INTEGER NOT NULL,
  reason TEXT NOT NULL, length INTEGER NOT NULL, sha256 BLOB NOT NULL, data BLOB NOT NULL,
  again INTEGER NOT NULL DEFAULT 0, UNIQUE (source, line, part, sha256)
) STRICT;
CREATE INDEX rejected_again ON rejected (n) WHERE again = 1;
"""


# Migrations of a spool's database: when a relay opens an older format, it keeps a copy and then applies them.
SpoolMigration = Callable[[sqlite3.Connection], None]

SPOOL_MIGRATIONS: Final[dict[int, SpoolMigration]] = {}
"""By format: the function that brings a database of this format to the next one, inside a transaction."""


def require_migrations(path: Path, written_in: int, target: int) -> None:
    """Raises SpoolUnusable when no chain of migrations leads from the format `written_in` to `target`."""
    missing = [number for number in range(written_in, target) if number not in SPOOL_MIGRATIONS]
    if missing:
        raise SpoolUnusable(
            f"the spool {path.parent} cannot be migrated: no migration from format {missing[0]} exists",
            hint="restore it from a backup, or name another with --spool",
        )


def keep_spool_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
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


def migrate_spool(connection: sqlite3.Connection, written_in: int, target: int) -> None:
    """Bring the database from the format `written_in` to `target`. To be called inside a transaction."""
    for number in range(written_in, target):
        SPOOL_MIGRATIONS[number](connection)
    connection.execute(f"PRAGMA user_version = {target}")
