"""Follows moves of webhooks in a shared spool (address_moves.py).

A webhook that moves keeps its number. Its rows change only if its slot changes, or if the spool has another webhook
of the new address, from an earlier time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from hookline.model import Address
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.postgres.relay_ports.spool_process import SpoolProcess
from hookline.relay.spool.postgres.transaction_settings import settings_step

if TYPE_CHECKING:
    from hookline.relay.spool.postgres.spool_connection import Connection, SpoolRow

# A backlog of some million deliveries gets another slot in one statement.
MAX_MOVE_SECONDS: Final = 600

# A client that stops in between is ended earlier.
_LONGEST: Final = "SELECT set_config('statement_timeout', %s, true)"
_LONGEST_FROM_17: Final = """
SELECT set_config(name, %s, true) FROM unnest(ARRAY['statement_timeout', 'transaction_timeout']) AS name
"""
_COLUMNS: Final = "lineage, serial, organization, sandbox, new_organization, new_sandbox"
READ_FOLLOWED: Final = f"SELECT n, {_COLUMNS} FROM spool.followed_move ORDER BY n"
FIND_MOVE: Final = f"SELECT n FROM spool.followed_move WHERE ({_COLUMNS}) = (%s, %s, %s, %s, %s, %s)"
# The numbers have no gaps and grow with the commits, because the row of `meta` is locked before.
RECORD_MOVE: Final = f"""
INSERT INTO spool.followed_move (n, {_COLUMNS})
SELECT coalesce((SELECT max(n) FROM spool.followed_move), 0) + 1, %s, %s, %s, %s, %s, %s RETURNING n
"""
# Inserts the moves after a number again, so that the transaction fails if one exists. It runs after the lock of the
# slots, which a move holds as well.
REFUSE_UNKNOWN_MOVES: Final = "INSERT INTO spool.followed_move SELECT * FROM spool.followed_move WHERE n > %s"
_LOCK_SLOTS: Final = """
SELECT slot, epoch, process FROM spool.slot WHERE slot = ANY (%s) ORDER BY slot FOR UPDATE
"""
_LOCK_INGEST: Final = "SELECT FROM spool.ingest_lock WHERE slot = ANY (%s) ORDER BY slot FOR UPDATE"
_NUMBER: Final = "SELECT n FROM spool.webhook WHERE organization = %s AND sandbox = %s FOR UPDATE"
_ADD: Final = "INSERT INTO spool.webhook (organization, sandbox, slot) VALUES (%s, %s, %s) RETURNING n"
_PENDING: Final = "SELECT count(*) FROM spool.delivery WHERE state = 0 AND webhook = %s"
_RENAME: Final = "UPDATE spool.webhook SET organization = %s, sandbox = %s, slot = %s WHERE n = %s"
# One statement for each state, because each state has its own index.
_CHANGE_SLOT: Final = """
UPDATE spool.delivery SET slot = %(slot)s WHERE webhook = %(n)s AND state = {state} AND slot != %(slot)s
"""
# The clocks of two webhooks differ. A delivery keeps its age.
_DIFFERENCE: Final = """
SELECT (least(%(now)s, k.held_since) - k.held_seconds) - (least(%(now)s, o.held_since) - o.held_seconds)
FROM spool.webhook k, spool.webhook o WHERE k.n = %(kept)s AND o.n = %(other)s
"""
_GIVE: Final = """
UPDATE spool.{table} SET webhook = %(kept)s, since = since + %(difference)s WHERE webhook = %(other)s
"""
_GIVE_ORPHANS: Final = """
UPDATE spool.delivery SET webhook = %(kept)s, slot = %(slot)s, since = since + %(difference)s,
  due = coalesce(due, %(now)s) WHERE webhook = %(other)s AND state = 0
"""
_MERGE: Final = """
UPDATE spool.webhook k SET paused = coalesce(k.paused, o.paused),
  retry_now_at = greatest(k.retry_now_at, o.retry_now_at),
  held_since = CASE WHEN k.paused IS NULL AND o.paused IS NOT NULL THEN coalesce(k.held_since, %(now)s)
    ELSE k.held_since END
FROM spool.webhook o WHERE k.n = %(kept)s AND o.n = %(other)s
"""
_REMOVE: Final = "DELETE FROM spool.webhook WHERE n = %s"
# All processes notice it.
_CHANGED: Final = "UPDATE spool.meta SET changes = changes + 1 WHERE id = 1"


def recorded_moves(rows: Iterable[SpoolRow]) -> list[RecordedMove]:
    """The moves in rows of READ_FOLLOWED."""
    return [
        RecordedMove(lineage, serial, Address(*names[:2]), Address(*names[2:])) for _, lineage, serial, *names in rows
    ]


def move_values(move: RecordedMove) -> tuple[object, ...]:
    """The parameters of FIND_MOVE and RECORD_MOVE."""
    return move.lineage, move.serial, *move.old, *move.new


class SharedMoves(SpoolProcess):
    """Implements address_moves.AddressMoves."""

    def followed_moves(self) -> FollowedMoves:
        self._look_again()
        rows = self._connection.query(READ_FOLLOWED)
        number = rows[-1][0] if rows else 0
        if number != self._latest_move:  # webhooks have other addresses now
            self._webhooks.read()
            self._latest_move = number
        return FollowedMoves(number, recorded_moves(rows))

    def follow_move(self, move: RecordedMove, *, now: float) -> MoveResult | None:
        """If the spool knows nothing of the earlier address, any process records the move."""
        old, new = self._webhooks.slot(move.old), self._webhooks.slot(move.new)
        names = move_values(move)
        with self._slots_locked(old, new) as (connection, is_owner):
            run = _Statements(connection, self._connection.sql)
            if known := run.all(FIND_MOVE, names):
                return MoveResult(known[0][0], 0)
            pending, found = 0, run.all(_NUMBER, move.old)
            if found:
                if not is_owner:
                    return None
                n = found[0][0]
                pending = run.all(_PENDING, (n,))[0][0]
                self._give_all(run, n, move.new, new, now)
            run.change(_CHANGED, ())
            number: int = run.all(RECORD_MOVE, names)[0][0]
        self._webhooks.read()
        self._latest_move = max(self._latest_move, number)
        return MoveResult(number, pending)

    def _give_all(self, run: _Statements, n: int, new: Address, slot: int, now: float) -> None:
        if other := run.all(_NUMBER, new):
            values: dict[str, object] = {"kept": n, "other": other[0][0], "now": now}
            values["difference"] = run.all(_DIFFERENCE, values)[0][0]
            for table in ("delivery", "record"):
                run.change(_GIVE.format(table=table), values)
            run.change(_MERGE, values)
            run.change(_REMOVE, (values["other"],))
        run.change(_RENAME, (*new, slot, n))
        for state in (0, 2):
            run.change(_CHANGE_SLOT.format(state=state), {"slot": slot, "n": n})

    def move_orphans(self, old: Address, new: Address, *, now: float) -> int:
        slot = self._webhooks.slot(new)
        moved = 0
        with self._slots_locked(self._webhooks.slot(old), slot) as (connection, is_owner):
            run = _Statements(connection, self._connection.sql)
            found = run.all(_NUMBER, old)
            if found and is_owner:
                kept = (run.all(_NUMBER, new) or run.all(_ADD, (*new, slot)))[0][0]
                values: dict[str, object] = {"kept": kept, "other": found[0][0], "now": now, "slot": slot}
                values["difference"] = run.all(_DIFFERENCE, values)[0][0]
                moved = run.change(_GIVE_ORPHANS, values)
            run.change(_CHANGED, ())
        self._webhooks.read()
        return moved

    @contextmanager
    def _slots_locked(self, old: int, new: int) -> Iterator[tuple[Connection, bool]]:
        """A transaction in which both slots keep their owners, and nobody settles or stores deliveries of them. The
        second value is whether this process owns the old slot.

        If it does not, the slots may get other owners: nobody could take a slot while its row is locked here.
        """
        self._look_again()
        slots, owns = sorted({old, new}), old in self.leases.owned
        with self._connection.transaction() as connection:
            run = _Statements(connection, self._connection.sql)
            run.change(*settings_step(self._connection))
            longest = _LONGEST_FROM_17 if self._connection.has_transaction_timeout else _LONGEST
            run.change(longest, (str(1000 * MAX_MOVE_SECONDS),))
            rows = {slot: (epoch, process) for slot, epoch, process in run.all(_LOCK_SLOTS, (slots if owns else [],))}
            run.change(_LOCK_INGEST, (slots,))
            yield connection, rows.get(old) == (self.leases.owned.get(old, -1), self.leases.token)


class _Statements:
    """Runs statements in a transaction."""

    def __init__(self, connection: Connection, sql: Any) -> None:
        self._connection = connection
        self._sql = sql

    def all(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._sql(statement), values).fetchall()

    def change(self, statement: str, values: Any) -> int:
        return self._connection.execute(self._sql(statement), values).rowcount
