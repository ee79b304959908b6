"""Recording what became of deliveries, and who may go after them. Functions on a connection, inside a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

from hookline.relay.spool.spool import Settlement, State
from hookline.relay.spool.sqlite.dequeue import COLUMNS
from hookline.relay.spool.sqlite.enqueue import add_to_tally

# Most deliveries are accepted, and their rows change in the same few columns.
_DELIVERED: Final = """
UPDATE delivery SET state = 1, due = NULL, attempts = ?, settled = ?, http = ?, history = ?, reason = NULL,
  body = NULL
WHERE seq = ? AND state = 0
"""
_OTHER: Final = """
UPDATE delivery SET state = ?, due = ?, attempts = ?, tries = ?, refusals = ?, reason = ?, http = ?, history = ?,
  settled = ?
WHERE seq = ? AND state = 0
"""
# The next of each message: the first pending one, unless it is waiting for a retry of its own.
_SUCCESSORS: Final = f"""
SELECT {", ".join(f"d.{column}" for column in COLUMNS)} FROM json_each(?) AS k
JOIN delivery d ON d.seq = (SELECT min(p.seq) FROM delivery p WHERE p.state = 0 AND p.order_key = k.value)
WHERE d.due IS NULL
"""
_FIRST: Final = "SELECT seq FROM delivery WHERE state = 0 AND webhook = ? ORDER BY seq LIMIT ?"
_OLDEST: Final = """
SELECT seq FROM (SELECT seq, since FROM delivery WHERE state = 0 AND webhook = ? ORDER BY seq LIMIT ?)
WHERE since < ?
"""
_BURY: Final = "UPDATE delivery SET state = 2, due = NULL, reason = ?, settled = ? WHERE seq = ? AND state = 0"


def record(connection: sqlite3.Connection, settlements: Sequence[Settlement], now: float) -> list[tuple[Any, ...]]:
    """Write outcomes and count them. Returns the rows (loading.COLUMNS) that may go now."""
    delivered = [
        (one.attempts, now, one.http, one.history, one.seq) for one in settlements if one.state is State.DELIVERED
    ]
    dead = [_other(one, now) for one in settlements if one.state is State.DEAD]
    again = [_other(one, None) for one in settlements if one.state is State.PENDING]
    accepted = connection.executemany(_DELIVERED, delivered).rowcount if delivered else 0
    died = connection.executemany(_OTHER, dead).rowcount if dead else 0
    if again:
        connection.executemany(_OTHER, again)
    posts = sum(one.posts for one in settlements)
    add_to_tally(connection, [("delivered", accepted), ("records", accepted), ("dead", died), ("attempts", posts)])
    keys = {one.order_key for one in settlements if one.state is not State.PENDING and one.order_key is not None}
    return connection.execute(_SUCCESSORS, (json.dumps(list(keys)),)).fetchall() if keys else []


def _other(one: Settlement, settled: float | None) -> tuple[object, ...]:
    return (
        int(one.state), one.due, one.attempts, one.tries, one.refusals, one.reason, one.http, one.history, settled,
        one.seq,
    )  # fmt: skip


def dead_letter(
    connection: sqlite3.Connection, webhook: int, *, reason: str, now: float, without: Collection[int], limit: int
) -> int:
    """Make the first pending deliveries of a webhook dead letters, at most `limit`. Returns how many."""
    rows = connection.execute(_FIRST, (webhook, limit + len(without)))
    return _bury_these(connection, [seq for (seq,) in rows if seq not in without][:limit], reason, now)


def expire(
    connection: sqlite3.Connection, webhook: int, *, before: float, now: float, without: Collection[int], limit: int
) -> int:
    """The same for those of the first `limit` that were read before `before`, by the webhook's own clock."""
    rows = connection.execute(_OLDEST, (webhook, limit, before))
    return _bury_these(connection, [seq for (seq,) in rows if seq not in without], "expired", now)


def _bury_these(connection: sqlite3.Connection, seqs: Sequence[int], reason: str, now: float) -> int:
    buried = connection.executemany(_BURY, [(reason, now, seq) for seq in seqs]).rowcount if seqs else 0
    add_to_tally(connection, [("dead", buried)])
    return buried
