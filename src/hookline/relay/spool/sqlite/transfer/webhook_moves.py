"""Follows moves of webhooks in the spool (address_moves.py). Functions on a connection, called in a transaction.

All rows name a webhook by its number, so a webhook that moves keeps its number and gets another address. Its rows
change only if the spool has another webhook of the new address, from an earlier time.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from hookline.model import Address
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.sqlite.webhook_status import number_of, read_clocks, stop_or_start_clock

_COLUMNS: Final = "lineage, serial, organization, sandbox, new_organization, new_sandbox"
_READ: Final = f"SELECT n, {_COLUMNS} FROM followed_move ORDER BY n"
_FIND: Final = f"SELECT n FROM followed_move WHERE ({_COLUMNS}) = (?, ?, ?, ?, ?, ?)"
_RECORD: Final = f"INSERT INTO followed_move ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_NUMBER: Final = "SELECT n FROM webhook WHERE organization = ? AND sandbox = ?"
_PENDING: Final = "SELECT count(*) FROM delivery WHERE state = 0 AND webhook = ?"
_RENAME: Final = "UPDATE webhook SET organization = ?, sandbox = ? WHERE n = ?"
# The clocks of two webhooks differ. A delivery keeps its age.
_GIVE: Final = "UPDATE delivery SET webhook = ?, since = since + ? WHERE webhook = ?"
_GIVE_ORPHANS: Final = """
UPDATE delivery SET webhook = ?, since = since + ?, due = coalesce(due, ?) WHERE state = 0 AND webhook = ?
"""
_MERGE: Final = """
UPDATE webhook AS kept SET paused = coalesce(kept.paused, other.paused),
  retry_now_at = max(coalesce(kept.retry_now_at, other.retry_now_at),
    coalesce(other.retry_now_at, kept.retry_now_at))
FROM (SELECT paused, retry_now_at FROM webhook WHERE n = ?) AS other WHERE n = ?
"""


def read(connection: sqlite3.Connection) -> FollowedMoves:
    rows = connection.execute(_READ).fetchall()
    moves = [
        RecordedMove(lineage, serial, Address(*names[:2]), Address(*names[2:])) for _, lineage, serial, *names in rows
    ]
    return FollowedMoves(rows[-1][0] if rows else 0, moves)


def record_move(connection: sqlite3.Connection, move: RecordedMove) -> tuple[int, bool]:
    """Returns the number of the move, and whether it is new."""
    values = (move.lineage, move.serial, *move.old, *move.new)
    if (known := connection.execute(_FIND, values).fetchone()) is not None:
        return known[0], False
    number: int = connection.execute(f"{_RECORD} RETURNING n", values).fetchone()[0]
    return number, True


def follow(connection: sqlite3.Connection, move: RecordedMove, now: float) -> MoveResult:
    """As AddressMoves.follow_move."""
    recorded, is_new = record_move(connection, move)
    number = _number(connection, move.old) if is_new else None
    if number is None:
        return MoveResult(recorded, 0)
    pending: int = connection.execute(_PENDING, (number,)).fetchone()[0]
    if (other := _number(connection, move.new)) is not None:
        connection.execute(_GIVE, (number, _clock_difference(connection, number, other, now), other))
        connection.execute(_MERGE, (other, number))
        connection.execute("DELETE FROM webhook WHERE n = ?", (other,))
        stop_or_start_clock(connection, number, now)
    connection.execute(_RENAME, (*move.new, number))
    return MoveResult(recorded, pending)


def move_orphans(connection: sqlite3.Connection, old: Address, new: Address, now: float) -> int:
    """As AddressMoves.move_orphans."""
    number = _number(connection, old)
    if number is None:
        return 0
    kept = number_of(connection, new)
    difference = _clock_difference(connection, kept, number, now)
    return connection.execute(_GIVE_ORPHANS, (kept, difference, now, number)).rowcount


def _number(connection: sqlite3.Connection, address: Address) -> int | None:
    found = connection.execute(_NUMBER, address).fetchone()
    return None if found is None else int(found[0])


def _clock_difference(connection: sqlite3.Connection, kept: int, other: int, now: float) -> float:
    clocks = read_clocks(connection)
    return clocks[kept].at(now) - clocks[other].at(now)
