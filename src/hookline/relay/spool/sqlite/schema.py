"""The tables of the spool's database, the checkpoints in it, and the migrations of older formats.

DESIGN, section "The spool", gives the reason for each table.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from hookline.errors import PositionMoved, SpoolUnusable
from hookline.private_files import sync_directory
from hookline.relay.sources.checkpoints import MAX_CHECKPOINTS
from hookline.relay.sources.source import Position
from hookline.relay.spool.sqlite.progress.activity_ring import ACTIVITY_TABLE
from hookline.relay.spool.sqlite.progress.work_starts import WORK_TABLES

# The checkpoints: the acknowledged position of each source.
# A content has one row, also after its file was renamed or copied. `key` identifies the content and is empty while
# nothing was read of the file. `at` is the Unix time of the latest change. A pipe has device and inode 0.
POSITION_TABLE = """
CREATE TABLE position (
  key BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, name TEXT NOT NULL, line INTEGER NOT NULL,
  offset INTEGER NOT NULL, head_length INTEGER NOT NULL, head_hash BLOB NOT NULL, tail_length INTEGER NOT NULL,
  tail_hash BLOB NOT NULL, packed INTEGER NOT NULL, target TEXT NOT NULL, marks BLOB NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (key, device, inode)
) STRICT, WITHOUT ROWID;
CREATE INDEX position_at ON position (at);
"""
_FIELDS = tuple(field for field in Position.__struct_fields__ if field != "follows")
_COLUMNS = ", ".join(_FIELDS)
_READ = f"SELECT {_COLUMNS} FROM position ORDER BY at, name"
_WRITE = f"INSERT INTO position ({_COLUMNS}) VALUES ({', '.join(f':{field}' for field in _FIELDS)})"
# The same content, or the row of the same file from before anything was read of it.
_REMOVE_SUPERSEDED = """
DELETE FROM position WHERE (key = :key AND key != x'') OR (key = x'' AND device = :device AND inode = :inode)
"""
_OFFSET = "SELECT offset FROM position WHERE key = ?"
_REMOVE_OLDEST = "DELETE FROM position WHERE at <= (SELECT at FROM position ORDER BY at DESC LIMIT 1 OFFSET ?)"


def read_positions(connection: sqlite3.Connection) -> list[Position]:
    """The checkpoints of all sources, the latest change last."""
    return [Position(**dict(zip(_FIELDS, row, strict=True))) for row in connection.execute(_READ)]


def write_position(connection: sqlite3.Connection, position: Position, *, now: float) -> None:
    """Write a checkpoint and remove the superseded one, in the transaction that makes the lines before it durable."""
    values = {**msgspec.structs.asdict(position), "at": now}
    connection.execute(_REMOVE_SUPERSEDED, values)
    connection.execute(_WRITE, values)


def require_followed(connection: sqlite3.Connection, position: Position) -> None:
    """Raises PositionMoved if the stored checkpoint is not the one that `position` follows."""
    stored = connection.execute(_OFFSET, (position.key,)).fetchone() or (0,)
    if position.follows is not None and stored != (position.follows,):
        raise PositionMoved(
            f"{position.name}: another reader has moved the position to {stored[0]}, not {position.follows}"
        )


def remove_oldest_positions(connection: sqlite3.Connection, *, keep: int = MAX_CHECKPOINTS) -> None:
    """A relay reads a file without a checkpoint from its start, so `keep` is large."""
    connection.execute(_REMOVE_OLDEST, (keep,))


SPOOL_APPLICATION_ID = 0x686B7370  # "hksp"
# Builds before the first release: those with the application id "hklp", and those of format 1. They are not read.
EARLIER_SPOOL_APPLICATION_ID = 0x686B6C70
EARLIER_SPOOL_FORMAT = 1
SPOOL_FORMAT = 2
PAGE_BYTES = 8192  # a payload is some 700 bytes: fewer, larger pages are written faster

# `disabled` is a property of the applied webhook. `paused` is the time at which an operator paused it. Since
# `held_since` it is disabled or paused, and its deliveries do not age; before, it was so for `held_seconds` in all.
# `gone_reason` is why the endpoint is gone (410), and `gone_configuration` the hash of the configuration that it was
# found with. The endpoint asked for no requests until `not_before`. `retry_now_at` is the time of the latest
# `retry-now`, `forgotten_at` that of the latest `forget` that removed pending deliveries of the webhook.
WEBHOOK = """
CREATE TABLE webhook (
  n INTEGER PRIMARY KEY, organization TEXT NOT NULL, sandbox TEXT NOT NULL,
  disabled INTEGER NOT NULL DEFAULT 0, paused REAL, held_since REAL, held_seconds REAL NOT NULL DEFAULT 0,
  gone_reason TEXT, gone_configuration TEXT, not_before REAL, retry_now_at REAL, forgotten_at REAL,
  UNIQUE (organization, sandbox)
) STRICT;
"""

# The moves of webhooks that the relay has followed (address_moves.py), in their order.
FOLLOWED_MOVE = """
CREATE TABLE followed_move (
  n INTEGER PRIMARY KEY, lineage TEXT NOT NULL, serial INTEGER NOT NULL, organization TEXT NOT NULL,
  sandbox TEXT NOT NULL, new_organization TEXT NOT NULL, new_sandbox TEXT NOT NULL,
  UNIQUE (lineage, serial, organization, sandbox, new_organization, new_sandbox)
) STRICT;
"""

# `delivery_pending` answers two questions: the next new deliveries of a webhook (`due` NULL, by `seq`), and the size
# of its backlog. `delivery_age` finds its oldest deliveries: a replay, or a clock that was set, makes a delivery
# younger than later ones. `delivery_order` finds the first pending delivery of a message. Order keys are random, and
# a webhook has its own part of the index: a large backlog of one does not cost the others a page for each delivery.
# The remaining indexes are smaller, or empty in normal operation. `delivery_dead` holds all columns of
# the filters, so that no filter reads the letters; `seq` is in it for the order.
INDEXES = """
CREATE INDEX delivery_pending ON delivery (webhook, seq, due) WHERE state = 0;
CREATE INDEX delivery_age ON delivery (webhook, since) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (webhook, due) WHERE state = 0 AND due IS NOT NULL;
CREATE INDEX delivery_order ON delivery (webhook, order_key, seq) WHERE state = 0 AND order_key IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (webhook, settled, seq, http, channel, status, reason) WHERE state = 2;
CREATE INDEX delivery_done ON delivery (settled) WHERE state IN (1, 3);
"""

SPOOL_TABLES = f"""
-- The counts of the spool's whole life. The transaction of the counted change writes them, so that
-- read + replayed + moved_in = delivered + skipped + rejected + dead + duplicates + pending + moved_out at every
-- commit. `moved_in` and `moved_out` are pending deliveries that `spool move` brought or took.
-- The exception is `records`: the number of delivered or discarded rows that are kept now.
CREATE TABLE tally (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;

{POSITION_TABLE}{WEBHOOK}
-- `state` is a spool.State. `seq` is the order of reading. `due` is NULL until the first attempt, then the Unix time
-- of the next one. `since` is the time of reading or replay, by the webhook's clock (webhook_status.WebhookClock).
-- `attempts` counts all attempts, `tries` those of the retry schedule, `refusals` the refusals as a probe while other
-- deliveries were accepted. `history` holds its latest failed attempts, in JSON.
-- `execution_id` is the message execution of the payload, for `trace`; it has no index, which would cost every event.
-- A delivered or discarded row is the record for duplicate detection and for `trace`.
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, webhook INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  due REAL, order_key INTEGER, attempts INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  refusals INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, settled REAL, request_id TEXT NOT NULL,
  channel TEXT NOT NULL, status TEXT NOT NULL, event_time TEXT, source TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT, http INTEGER, detail TEXT, history TEXT, execution_id TEXT
) STRICT;
{INDEXES}
-- Messages of streams that are stored and may be delivered again, by the number of the stream with its consumer.
CREATE TABLE stream (n INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE message (
  stream INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (stream, number)
) STRICT, WITHOUT ROWID;

-- The payloads of pending deliveries and of dead letters, by `seq`. Records have none. They are many and small, and
-- the pages of removed payloads are used again for later ones.
CREATE TABLE body (seq INTEGER PRIMARY KEY, content BLOB NOT NULL) STRICT;

-- Rejected lines (`part` is -1), and rejected events of a line (`part` is their index). `data` is the line, or the
-- beginning of one that is too long. `replayed` is 1 when an operator replays it, until a relay has read it.
CREATE TABLE rejected (
  n INTEGER PRIMARY KEY, at REAL NOT NULL, source TEXT NOT NULL, line INTEGER NOT NULL, part INTEGER NOT NULL,
  reason TEXT NOT NULL, length INTEGER NOT NULL, sha256 BLOB NOT NULL, data BLOB NOT NULL,
  replayed INTEGER NOT NULL DEFAULT 0, UNIQUE (source, line, part, sha256)
) STRICT;
CREATE INDEX rejected_replayed ON rejected (n) WHERE replayed = 1;
CREATE INDEX rejected_at ON rejected (at) WHERE replayed = 0;

{FOLLOWED_MOVE}{ACTIVITY_TABLE}{WORK_TABLES}"""


# A relay that opens an older format keeps a copy of the database, and then applies the migrations.
# By format: the function that migrates a database of this format to the next one, inside a transaction.
SPOOL_MIGRATIONS: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {}


def require_migrations(path: Path, written_in: int, target: int) -> None:
    """Raises SpoolUnusable when no chain of migrations leads from the format `written_in` to `target`."""
    missing = [number for number in range(written_in, target) if number not in SPOOL_MIGRATIONS]
    if missing:
        raise SpoolUnusable(
            f"the spool {path.parent} cannot be migrated: no migration from format {missing[0]} exists",
            hint="restore the spool from a backup, or name another with --spool",
        )


def keep_spool_copy(connection: sqlite3.Connection, path: Path, written_in: int) -> Path:
    """Copy the database into a private file beside it, also over the copy of an interrupted migration. Returns its
    path. Raises SpoolUnusable."""
    copy = path.with_name(f"{path.name}.format-{written_in}")
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.rename(copy)
        sync_directory(copy.parent)
    except (OSError, sqlite3.DatabaseError) as failed:
        unfinished.unlink(missing_ok=True)
        raise SpoolUnusable(
            f"the spool {path} has an older format, and a copy cannot be written beside it: {failed}",
            hint="nothing was changed; make its directory writable, with room for a second file of its size",
        ) from failed
    return copy


def migrate_spool(connection: sqlite3.Connection, written_in: int, target: int) -> None:
    """Migrate the database from the format `written_in` to `target`. Called inside a transaction."""
    for number in range(written_in, target):
        SPOOL_MIGRATIONS[number](connection)
    connection.execute(f"PRAGMA user_version = {target}")
