"""What is done to a page of dead letters. Functions on a connection; those that write are called inside of a
transaction, and leave alone what has changed since the page was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import count, repeat
from typing import Final

from hookline.relay.history import with_replay
from hookline.relay.spool.choosing import Place
from hookline.relay.spool.standing import Clock

_HISTORY: Final = "SELECT history FROM delivery WHERE seq = ? AND state = 2 AND settled = ?"
_REPLAY: Final = """
UPDATE delivery SET state = 0, due = ?, since = ?, settled = NULL, tries = 0, refusals = 0, order_key = NULL,
  history = ?
WHERE seq = ?
"""
# What an earlier replay has spaced out, and was not tried since. Retries have tries; probes are due at once.
_LAST_SCHEDULED: Final = """
SELECT due FROM delivery WHERE state = 0 AND webhook = ? AND due > ? AND tries = 0 ORDER BY due DESC LIMIT 1
"""


def schedule(connection: sqlite3.Connection, webhook: int, now: float, rate: float | None) -> Iterator[float]:
    """When each replayed delivery of a webhook is due, in Unix seconds: all at once, or `rate` a second after what
    earlier replays have spaced out already."""
    if rate is None:
        return repeat(now)
    last = connection.execute(_LAST_SCHEDULED, (webhook, now - 1 / rate)).fetchone()
    start = now if last is None else last[0] + 1 / rate
    return (start + number / rate for number in count())


def replay(
    connection: sqlite3.Connection, webhook: int, page: Sequence[Place], due: Iterator[float], now: float
) -> int:
    """Make dead deliveries pending. Returns how many; none is replayed twice at one and the same `now`."""
    idle, held = connection.execute("SELECT idle, held FROM webhook WHERE n = ?", (webhook,)).fetchone()
    age = Clock(idle, held).at(now)
    rows = []
    for place in page:
        found = connection.execute(_HISTORY, (place.seq, place.settled)).fetchone()
        history = with_replay(found[0], now) if found else None
        if history is not None:
            at = next(due)
            rows.append((at, age + at - now, history, place.seq))
    connection.executemany(_REPLAY, rows)
    return len(rows)


def read_again(connection: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Have rejected lines read once more by a relay; not those that are not kept whole. Returns how many."""
    return connection.executemany(
        "UPDATE rejected SET again = 1 WHERE n = ? AND again = 0 AND length = length(data)", [(n,) for n in numbers]
    ).rowcount


def discard(connection: sqlite3.Connection, page: Sequence[Place], now: float) -> int:
    """Make records of dead deliveries. Returns how many."""
    return connection.executemany(
        "UPDATE delivery SET state = 3, body = NULL, settled = ? WHERE seq = ? AND state = 2 AND settled = ?",
        [(now, place.seq, place.settled) for place in page],
    ).rowcount


def discard_lines(connection: sqlite3.Connection, numbers: Sequence[int]) -> int:
    return connection.executemany("DELETE FROM rejected WHERE n = ? AND again = 0", [(n,) for n in numbers]).rowcount
