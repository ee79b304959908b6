"""What is kept about a clock that was set forward: how far back in a spool's own times a moment lies.

Records, dead letters and rejected lines keep the time that the clock showed when they were settled. When it is set
forward they seem older by the step, until that has become as old as they may. So the step is kept, and taken off.
Later steps forward are added to it, those back taken from it; where both came, things are kept for longer rather than
shorter. Functions on a connection, inside of a transaction. Times are Unix seconds; they are kept in milliseconds.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

BY: Final = "clock:by"
AT: Final = "clock:at"
KEPT: Final = (BY, AT)
"""The rows of the tally that are no counts."""

_WRITE: Final = "INSERT OR REPLACE INTO tally VALUES (?, ?)"


class Step(NamedTuple):
    """By how much the clock was set forward, and what it showed then. What is dated before `at` is older than it was
    by `by`."""

    by: float = 0.0
    at: float = 0.0


def read_step(connection: sqlite3.Connection) -> Step:
    found = dict(connection.execute("SELECT what, n FROM tally WHERE what IN (?, ?)", KEPT).fetchall())
    return Step(found.get(BY, 0) / 1000, found.get(AT, 0) / 1000)


def was_dated(connection: sqlite3.Connection, moment: float) -> float:
    """The time that the clock showed at what is now called `moment`."""
    step = read_step(connection)
    return moment - step.by if moment < step.at else moment


def note_step(connection: sqlite3.Connection, seconds: float, now: float) -> None:
    """The clock was set by so many seconds, and shows `now`."""
    step = read_step(connection)
    by, at = step.by + seconds, now if seconds > 0 else step.at + seconds
    if by > 0:
        connection.executemany(_WRITE, [(BY, round(by * 1000)), (AT, round(at * 1000))])
    else:
        _forget(connection)


def forget_step(connection: sqlite3.Connection, horizon: float) -> None:
    """Nothing that is dated before `horizon` is kept: a step before it matters no more."""
    step = read_step(connection)
    if step.by and step.at <= horizon:
        _forget(connection)


def _forget(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM tally WHERE what IN (?, ?)", KEPT)
