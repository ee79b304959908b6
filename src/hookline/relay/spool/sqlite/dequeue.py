"""Getting pending deliveries out of the spool, a bounded number at a time. Functions on a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Any, Final

# As port.Waiting has them, but for the webhook's number in place of its address.
COLUMNS: Final = (
    "seq", "id", "webhook", "due", "order_key", "attempts", "tries", "refusals", "since", "event_time", "history",
    "body", "request_id",
)  # fmt: skip
_LIST = ", ".join(COLUMNS)
_FRESH: Final = f"""
SELECT {_LIST} FROM delivery d WHERE state = 0 AND due IS NULL AND webhook = ? AND seq > ? %s ORDER BY seq LIMIT ?
"""
_NO_PREDECESSOR: Final = """AND (order_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM delivery p WHERE p.state = 0 AND p.order_key = d.order_key AND p.seq < d.seq))"""
_FRESH_ORDERED: Final = _FRESH % _NO_PREDECESSOR
_FRESH_ANYHOW: Final = _FRESH % ""
_DUE: Final = f"""
SELECT {_LIST} FROM delivery WHERE state = 0 AND due IS NOT NULL AND due <= ? AND webhook = ? ORDER BY due LIMIT ?
"""


def dequeue_new(
    connection: sqlite3.Connection, webhook: int, *, after: int, limit: int, ordered: bool
) -> list[tuple[Any, ...]]:
    """Never attempted ones in the order of reading."""
    return connection.execute(_FRESH_ORDERED if ordered else _FRESH_ANYHOW, (webhook, after, limit)).fetchall()


def dequeue_due(
    connection: sqlite3.Connection, webhook: int, *, now: float, limit: int, without: Collection[int]
) -> list[tuple[Any, ...]]:
    """Those whose next attempt is due, longest due first."""
    rows = connection.execute(_DUE, (now, webhook, limit + len(without))).fetchall()
    return [row for row in rows if row[0] not in without][:limit]


def next_due(connection: sqlite3.Connection, webhook: int, *, after: float) -> float | None:
    found = connection.execute(
        "SELECT min(due) FROM delivery WHERE state = 0 AND due > ? AND webhook = ?", (after, webhook)
    ).fetchone()
    earliest: float | None = found[0]
    return earliest


def next_dues(connection: sqlite3.Connection) -> list[tuple[int, float]]:
    """Webhooks by number, and when the first retry of each is due: one look into the index for each of them."""
    return connection.execute(
        "SELECT n, due FROM (SELECT n, (SELECT min(due) FROM delivery WHERE state = 0 AND due > 0 AND webhook = n) "
        "AS due FROM webhook) WHERE due IS NOT NULL"
    ).fetchall()
