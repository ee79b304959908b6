"""Records the results of deliveries, and removes records, dead letters and lines whose retention is over.

Functions on a connection, called inside a transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from hookline.relay.spool.spool_values import Retention, Settlement, State
from hookline.relay.spool.sqlite.bodies import remove_bodies
from hookline.relay.spool.sqlite.dequeue import LIST
from hookline.relay.spool.sqlite.enqueue import add_to_tally
from hookline.relay.spool.sqlite.multi_row import padded, placeholders

# A name of the module costs a tenth of an enumeration's attribute before Python 3.12.
_PENDING, _DELIVERED, _DEAD = State.PENDING, State.DELIVERED, State.DEAD
_OTHER: Final = """
UPDATE delivery SET state = ?, due = ?, attempts = ?, tries = ?, refusals = ?, reason = ?, http = ?, history = ?,
  settled = ?
WHERE seq = ? AND state = 0
"""
# The first pending delivery of each message, if it comes after the settled one and waits for no retry of its own.
_SUCCESSORS: Final = f"""
SELECT {LIST} FROM json_each(?) AS k JOIN delivery s ON s.seq = k.value
JOIN delivery d ON d.seq = (
  SELECT min(p.seq) FROM delivery p WHERE p.state = 0 AND p.webhook = s.webhook AND p.order_key = k.key)
WHERE d.due IS NULL AND d.seq > k.value
"""
# The first deliveries of a webhook; and the oldest, by its clock at this moment (webhook_status.WebhookClock).
FIRST: Final = "SELECT seq FROM delivery WHERE state = 0 AND webhook = ? ORDER BY seq LIMIT ?"
OLDEST: Final = """
SELECT seq FROM delivery JOIN webhook ON n = webhook WHERE state = 0 AND organization = ? AND sandbox = ?
  AND since < ? - held_seconds - max(0.0, coalesce(? - held_since, 0.0)) ORDER BY since LIMIT ?
"""
_DEAD_LETTER: Final = "UPDATE delivery SET state = 2, due = NULL, reason = ?, settled = ? WHERE seq = ? AND state = 0"
_REMOVE_OLD_RECORDS: Final = """
DELETE FROM delivery WHERE seq IN
  (SELECT seq FROM delivery WHERE state IN (1, 3) AND settled < ? ORDER BY settled LIMIT ?)
"""
_REMOVE_SURPLUS_RECORDS: Final = """
DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery WHERE state IN (1, 3) ORDER BY settled LIMIT ?)
"""
# CROSS JOIN: for each webhook one range of the index, whose order is that of `settled`.
_OLD_LETTERS: Final = """
SELECT seq FROM webhook CROSS JOIN delivery ON webhook = n WHERE state = 2 AND settled < ? LIMIT ?
"""
_REMOVE_OLD_LINES: Final = """
DELETE FROM rejected WHERE n IN (SELECT n FROM rejected WHERE replayed = 0 AND at < ? ORDER BY at LIMIT ?)
"""


@cache
def _delivered(rows: int) -> str:
    """Most deliveries are accepted, and this statement changes only the columns that differ then."""
    return f"""
UPDATE OR FAIL delivery SET state = 1, due = NULL, attempts = ?, settled = ?, http = ?, history = ?, reason = NULL
WHERE seq IN ({placeholders(rows)}) AND state = 0
"""


def record(connection: sqlite3.Connection, settlements: Sequence[Settlement], now: float) -> int:
    """Write and count results. Returns the number of deliveries that are not pending any more."""
    delivered = [one for one in settlements if one.state is _DELIVERED]
    dead = [_other(one, now) for one in settlements if one.state is _DEAD]
    retries = [_other(one, None) for one in settlements if one.state is _PENDING]
    accepted = _record_delivered(connection, delivered, now)
    remove_bodies(connection, [one.seq for one in delivered], all_settled=accepted == len(delivered))
    died = connection.executemany(_OTHER, dead).rowcount if dead else 0
    if retries:
        connection.executemany(_OTHER, retries)
    posts = sum(one.posts for one in settlements)
    add_to_tally(connection, [("delivered", accepted), ("records", accepted), ("dead", died), ("attempts", posts)])
    return accepted + died


def _record_delivered(connection: sqlite3.Connection, delivered: Sequence[Settlement], now: float) -> int:
    """Make deliveries records: those with the same result, most of all, in one statement."""
    alike: dict[tuple[object, ...], list[int]] = {}
    for one in delivered:
        alike.setdefault((one.attempts, now, one.http, one.history), []).append(one.seq)
    return sum(
        connection.execute(_delivered(len(seqs)), (*result, *seqs)).rowcount
        for result, all_seqs in alike.items()
        for seqs in padded(all_seqs)
    )


def read_successors(connection: sqlite3.Connection, settled: Mapping[int, int]) -> list[tuple[Any, ...]]:
    """The rows (dequeue.COLUMNS) of deliveries that may be sent now, after the settled `seq` of each order key."""
    return connection.execute(_SUCCESSORS, (json.dumps(settled),)).fetchall() if settled else []


def _other(one: Settlement, settled: float | None) -> tuple[object, ...]:
    return (
        int(one.state), one.due, one.attempts, one.tries, one.refusals, one.reason, one.http, one.history, settled,
        one.seq,
    )  # fmt: skip


def dead_letter(connection: sqlite3.Connection, seqs: Sequence[int], reason: str, now: float) -> int:
    """Make those of these deliveries that are pending dead letters. Returns their number."""
    dead = connection.executemany(_DEAD_LETTER, [(reason, now, seq) for seq in seqs]).rowcount
    add_to_tally(connection, [("dead", dead)])
    return dead


def remove_expired(connection: sqlite3.Connection, *, now: float, keep: Retention, limit: int) -> bool:
    """As MaintenanceSpool.clean_up."""
    horizon = now - keep.seconds
    old = connection.execute(_REMOVE_OLD_RECORDS, (horizon, limit)).rowcount
    records = connection.execute("SELECT coalesce(sum(count), 0) FROM tally WHERE name = 'records'").fetchone()[0]
    surplus = max(0, min(limit - old, records - old - keep.records))
    removed = old + connection.execute(_REMOVE_SURPLUS_RECORDS, (surplus,)).rowcount
    add_to_tally(connection, [("records", -removed)])
    letters = connection.execute(_OLD_LETTERS, (horizon, limit)).fetchall()
    connection.executemany("DELETE FROM delivery WHERE seq = ?", letters)
    remove_bodies(connection, [seq for (seq,) in letters], all_settled=True)
    lines = connection.execute(_REMOVE_OLD_LINES, (horizon, limit)).rowcount
    return limit in (removed, len(letters), lines)
