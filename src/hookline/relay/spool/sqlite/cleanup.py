"""Retention: forgets records, dead letters and rejected lines that were kept for long enough.

Functions on a connection, inside a transaction.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from hookline.relay.spool.spool import Retention
from hookline.relay.spool.sqlite.enqueue import add_to_tally

_OLD_RECORDS: Final = """
DELETE FROM delivery WHERE seq IN
  (SELECT seq FROM delivery WHERE state IN (1, 3) AND settled < ? ORDER BY settled LIMIT ?)
"""
_SURPLUS_RECORDS: Final = """
DELETE FROM delivery WHERE seq IN (SELECT seq FROM delivery WHERE state IN (1, 3) ORDER BY settled LIMIT ?)
"""
_OLD_LETTERS: Final = """
DELETE FROM delivery WHERE seq IN
  (SELECT seq FROM delivery WHERE state = 2 AND webhook = ? AND settled < ? ORDER BY settled LIMIT ?)
"""
_OLD_LINES: Final = """
DELETE FROM rejected WHERE n IN
  (SELECT n FROM (SELECT n, at, again FROM rejected ORDER BY n LIMIT ?) WHERE at < ? AND again = 0)
"""


def cleanup(connection: sqlite3.Connection, *, now: float, keep: Retention, limit: int) -> bool:
    """Up to `limit` of each kind. True when any kind has more."""
    horizon = now - keep.seconds
    old = connection.execute(_OLD_RECORDS, (horizon, limit)).rowcount
    surplus = min(limit, _records(connection) - old - keep.records)
    over = connection.execute(_SURPLUS_RECORDS, (surplus,)).rowcount if surplus > 0 else 0
    add_to_tally(connection, [("records", -old - over)])
    webhooks = [n for (n,) in connection.execute("SELECT n FROM webhook").fetchall()]
    letters = [connection.execute(_OLD_LETTERS, (n, horizon, limit)).rowcount for n in webhooks]
    lines = connection.execute(_OLD_LINES, (limit, horizon)).rowcount
    return limit in (old, over, lines, *letters)


def _records(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT n FROM tally WHERE what = 'records'").fetchone()
    return 0 if found is None else int(found[0])
