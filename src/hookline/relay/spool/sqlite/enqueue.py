"""Putting a group of lines into the spool: deliveries, rejected lines, counts and the position, in one transaction.

Functions on a connection, called inside of a transaction.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from hookline.relay.spool.spool import RejectedLine

# A row for each delivery: seq, id, webhook, order key, since, request id, channel, status, event time, source, line,
# detail, body.
DeliveryRow = tuple[int, bytes, int, int | None, float, str, str, str, str | None, str, int, str | None, bytes]

_INSERT: Final = """
INSERT INTO delivery
  (seq, id, webhook, order_key, since, request_id, channel, status, event_time, source, line, detail, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""
# A known id that may be sent again: what it was before is kept in its history alone.
_REVIVE: Final = """
UPDATE delivery SET seq = ?, webhook = ?, state = 0, due = NULL, order_key = ?, tries = 0, refusals = 0, since = ?,
  settled = NULL, source = ?, line = ?, reason = NULL, http = NULL, detail = ?, body = ?
WHERE id = ? AND state IN (1, 3) AND settled <= ?
"""
_REJECT: Final = """
INSERT INTO rejected (at, source, line, part, reason, length, sha256, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
_COUNT: Final = "INSERT INTO tally VALUES (?, ?) ON CONFLICT (what) DO UPDATE SET n = n + excluded.n"


def store(connection: sqlite3.Connection, rows: Sequence[DeliveryRow], horizon: float) -> int:
    """Insert what is new, and what was settled up to `horizon` (Unix seconds). Returns how many: the others are
    duplicates."""
    if not rows:
        return 0
    stored = connection.executemany(_INSERT, rows).rowcount
    if stored == len(rows):
        return stored
    revived = connection.executemany(_REVIVE, [_revival(row, horizon) for row in rows]).rowcount
    add_to_tally(connection, [("records", -revived)])
    return stored + revived


def _revival(row: DeliveryRow, horizon: float) -> tuple[object, ...]:
    seq, identity, webhook, order_key, since, _, _, _, _, source, line, detail, body = row
    return seq, webhook, order_key, since, source, line, detail, body, identity, horizon


def reject(connection: sqlite3.Connection, source: str, rejected: Iterable[RejectedLine], now: float) -> int:
    """Keep rejected lines whole. Returns how many are new."""
    rows = [
        (now, source, one.line.number, one.part, one.reason, one.line.length,
         one.line.sha256 or hashlib.sha256(one.line.data).digest(), one.line.data)
        for one in rejected
    ]  # fmt: skip
    return connection.executemany(_REJECT, rows).rowcount if rows else 0


def add_to_tally(connection: sqlite3.Connection, amounts: Iterable[tuple[str, int]]) -> None:
    """Add to the tally, in the transaction that makes it so."""
    connection.executemany(_COUNT, [(what, n) for what, n in amounts if n])


def with_pending(tally: dict[str, int]) -> dict[str, int]:
    """The tally, with what is still pending worked out from it: read + replayed less everything that is settled."""
    settled = sum(
        n for what, n in tally.items() if what.startswith(("delivered", "skipped:", "rejected", "dead", "dup"))
    )
    return {**tally, "pending": tally.get("read", 0) + tally.get("replayed", 0) - settled}


def read_tally(connection: sqlite3.Connection) -> dict[str, int]:
    return with_pending(dict(connection.execute("SELECT what, n FROM tally").fetchall()))
