"""What is done to a spool now and then: forgetting what was kept for long enough, and following a clock that was set.
Functions on a connection, inside a transaction."""

from __future__ import annotations

import sqlite3
from typing import Final

from hookline.relay.spool.port import Retention
from hookline.relay.spool.stepping import forget_step, note_step, was_dated
from hookline.relay.spool.storing import count

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


def tidy(connection: sqlite3.Connection, *, now: float, keep: Retention, limit: int) -> bool:
    """Up to `limit` of each kind. True when any kind has more."""
    forget_step(connection, now - keep.seconds)
    horizon = was_dated(connection, now - keep.seconds)
    old = connection.execute(_OLD_RECORDS, (horizon, limit)).rowcount
    surplus = min(limit, _records(connection) - old - keep.records)
    over = connection.execute(_SURPLUS_RECORDS, (surplus,)).rowcount if surplus > 0 else 0
    count(connection, [("records", -old - over)])
    webhooks = [n for (n,) in connection.execute("SELECT n FROM webhook").fetchall()]
    letters = [connection.execute(_OLD_LETTERS, (n, horizon, limit)).rowcount for n in webhooks]
    lines = connection.execute(_OLD_LINES, (limit, horizon)).rowcount
    return limit in (old, over, lines, *letters)


def _records(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT n FROM tally WHERE what = 'records'").fetchone()
    return 0 if found is None else int(found[0])


def follow_clock(connection: sqlite3.Connection, seconds: float, now: float) -> None:
    """The clock was set by so many seconds and shows `now`: nothing is older or later for that.

    What is settled may be very much, so it stays as it is dated; the step is kept beside it.
    """
    note_step(connection, seconds, now)
    connection.execute("UPDATE delivery SET due = due + ? WHERE state = 0 AND due IS NOT NULL", (seconds,))
    connection.execute(
        "UPDATE webhook SET idle = idle + ?, not_before = not_before + ?, paused = paused + ?, held = held + ?",
        (seconds,) * 4,
    )
