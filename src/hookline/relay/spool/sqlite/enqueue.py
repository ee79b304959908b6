"""Stores deliveries, rejected lines and counts in the spool. Functions on a connection, called in a transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from hookline.relay.spool.account import with_pending
from hookline.relay.spool.spool_values import RejectedLine
from hookline.relay.spool.sqlite.bodies import store_bodies
from hookline.relay.spool.sqlite.multi_row import insert, values

# The row of a delivery: seq, id, webhook, order key, since, request id, channel, status, event time, source, line,
# detail, execution id, body.
DeliveryRow = tuple[
    int, bytes, int, int | None, float, str, str, str, str | None, str, int, str | None, str | None, bytes
]
# The row of a rejected line: at, source, line, part, reason, length, sha256, data.
LineRow = tuple[float, str, int, int, str, int, bytes, bytes]

_COLUMNS: Final = (
    "seq, id, webhook, order_key, since, request_id, channel, status, event_time, source, line, detail, execution_id"
)
# A known id that may be sent again. It keeps its history and its count of attempts.
_REVIVE: Final = """
UPDATE delivery SET seq = ?, webhook = ?, state = 0, due = NULL, order_key = ?, tries = 0, refusals = 0, since = ?,
  settled = NULL, source = ?, line = ?, reason = NULL, http = NULL, detail = ?
WHERE id = ? AND state IN (1, 3) AND settled <= ?
"""
_INSERT_LINE: Final = """
INSERT INTO rejected (at, source, line, part, reason, length, sha256, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""


@cache
def _insert(rows: int) -> str:
    number = len(_COLUMNS.split(","))
    return f"INSERT OR FAIL INTO delivery ({_COLUMNS}) {values(number, rows)} ON CONFLICT (id) DO NOTHING"


@cache
def _count(rows: int) -> str:
    add = "ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"
    return f"INSERT OR FAIL INTO tally {values(2, rows)} {add}"


def store(connection: sqlite3.Connection, rows: Sequence[DeliveryRow], horizon: float) -> tuple[int, int]:
    """Insert new deliveries, and revive those that were settled up to `horizon` (Unix seconds). Returns the numbers
    of both: the other rows are duplicates."""
    inserted, revived = insert(connection, _insert, [row[:-1] for row in rows]), 0
    all_stored = inserted == len(rows)
    if not all_stored:
        revived = connection.executemany(_REVIVE, [_revival(row, horizon) for row in rows]).rowcount
        add_to_tally(connection, [("records", -revived)])
    store_bodies(connection, [(row[0], row[-1]) for row in rows], all_stored=all_stored)
    return inserted, revived


def _revival(row: DeliveryRow, horizon: float) -> tuple[object, ...]:
    seq, identity, webhook, order_key, since, _, _, _, _, source, line, detail, _, _ = row
    return seq, webhook, order_key, since, source, line, detail, identity, horizon


def line_rows(source: str, rejected: Iterable[RejectedLine], now: float) -> list[LineRow]:
    """The rows of lines of `source` that are rejected at `now`."""
    return [
        (now, source, one.line.number, one.part, one.reason, one.line.length,
         one.line.sha256 or hashlib.sha256(one.line.data).digest(), one.line.data)
        for one in rejected
    ]  # fmt: skip


def store_lines(connection: sqlite3.Connection, rows: Sequence[LineRow]) -> int:
    """Insert rejected lines. Returns the number of new ones."""
    return connection.executemany(_INSERT_LINE, rows).rowcount if rows else 0


def add_to_tally(connection: sqlite3.Connection, amounts: Iterable[tuple[str, int]]) -> None:
    """Add to counts of the tally, in the transaction of the counted change."""
    insert(connection, _count, [(name, amount) for name, amount in amounts if amount])


def read_tally(connection: sqlite3.Connection) -> dict[str, int]:
    return with_pending(dict(connection.execute("SELECT name, count FROM tally").fetchall()))
