"""Loads pending deliveries from the spool, a bounded number at a time. Functions on a connection.

They name a webhook by its number and return rows with COLUMNS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

# The fields of QueuedDelivery, with the webhook's number instead of its address.
COLUMNS: Final = (
    "seq", "id", "webhook", "due", "order_key", "attempts", "tries", "refusals", "since", "event_time", "history",
    "body", "request_id",
)  # fmt: skip
_LIST = ", ".join(COLUMNS)
_NEW: Final = f"""
SELECT {_LIST} FROM delivery d WHERE state = 0 AND due IS NULL AND webhook = ? AND seq > ? %s ORDER BY seq LIMIT ?
"""
_NO_PREDECESSOR: Final = """AND (order_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM delivery p WHERE p.state = 0 AND p.order_key = d.order_key AND p.seq < d.seq))"""
_NEW_ORDERED: Final = _NEW % _NO_PREDECESSOR
_NEW_UNORDERED: Final = _NEW % ""
_DUE: Final = f"""
SELECT {_LIST} FROM delivery WHERE state = 0 AND due IS NOT NULL AND due <= ? AND webhook = ? ORDER BY due LIMIT ?
"""


def dequeue_new(
    connection: sqlite3.Connection, webhook: int, *, after: int, limit: int, ordered: bool
) -> list[tuple[Any, ...]]:
    """Up to `limit` new deliveries above the seq `after`; if `ordered`, without those that have a predecessor."""
    return connection.execute(_NEW_ORDERED if ordered else _NEW_UNORDERED, (webhook, after, limit)).fetchall()


def dequeue_due(
    connection: sqlite3.Connection, webhook: int, *, now: float, limit: int, without: Collection[int]
) -> list[tuple[Any, ...]]:
    """Up to `limit` retries that are due at `now`, the longest due first, except the seqs in `without`."""
    rows = connection.execute(_DUE, (now, webhook, limit + len(without))).fetchall()
    return [row for row in rows if row[0] not in without][:limit]


def next_due(connection: sqlite3.Connection, webhook: int, *, after: float) -> float | None:
    earliest: float | None = connection.execute(
        "SELECT min(due) FROM delivery WHERE state = 0 AND due > ? AND webhook = ?", (after, webhook)
    ).fetchone()[0]
    return earliest


def next_dues(connection: sqlite3.Connection) -> list[tuple[int, float]]:
    """The number of each webhook that has retries, and when its first one is due: one index lookup per webhook."""
    return connection.execute(
        "SELECT n, due FROM (SELECT n, (SELECT min(due) FROM delivery WHERE state = 0 AND due > 0 AND webhook = n) "
        "AS due FROM webhook) WHERE due IS NOT NULL"
    ).fetchall()
