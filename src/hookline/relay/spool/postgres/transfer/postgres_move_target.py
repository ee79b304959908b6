"""The shared spool that a move fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.postgres.binary_arrays import storable
from hookline.relay.spool.postgres.relay_ports.followed_moves import (
    FIND_MOVE,
    READ_FOLLOWED,
    RECORD_MOVE,
    move_values,
    recorded_moves,
)
from hookline.relay.spool.postgres.relay_ports.settlement_writer import CURRENT_PERIOD
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection
from hookline.relay.spool.postgres.transaction_settings import settings_step
from hookline.relay.spool.postgres.transfer.moved_rows import (
    CLOCK,
    DELIVERY_NAMES,
    LINE_NAMES,
    POSITION_COLUMNS,
    POSITION_NAMES,
    RECORD_NAMES,
    STATE_NAMES,
    MovingSpool,
    pending_among,
)
from hookline.relay.spool.transfer import MoveBatch, MovedDelivery, MovedLine, MovedPosition, MovedWebhook

_INSERT_LINE: Final = f"""
INSERT INTO spool.rejected ({", ".join(LINE_NAMES)}, replayed) VALUES ({", ".join("%s" for _ in LINE_NAMES)}, %s)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
_ADD_WEBHOOK: Final = f"""
INSERT INTO spool.webhook AS w (organization, sandbox, slot, held_since, held_seconds, {", ".join(STATE_NAMES)})
VALUES ({", ".join("%s" for _ in (*STATE_NAMES, 1, 2, 3, 4, 5))})
ON CONFLICT (organization, sandbox) DO UPDATE SET paused = coalesce(w.paused, EXCLUDED.paused),
  held_since = CASE WHEN EXCLUDED.paused IS NULL THEN w.held_since ELSE coalesce(w.held_since, %s) END,
  not_before = greatest(w.not_before, EXCLUDED.not_before),
  retry_now_at = greatest(w.retry_now_at, EXCLUDED.retry_now_at)
"""
_FIND_WEBHOOK: Final = """
INSERT INTO spool.webhook (organization, sandbox, slot) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_ADD_STREAMS: Final = "INSERT INTO spool.stream (identity) SELECT unnest(%s::bytea[]) ON CONFLICT DO NOTHING"
_ADD_MESSAGES: Final = """
INSERT INTO spool.message (stream, number)
SELECT s.n, g.number FROM unnest(%s::bytea[], %s::bigint[]) AS g (identity, number)
JOIN spool.stream s ON s.identity = g.identity ON CONFLICT DO NOTHING
"""
_KNOWN: Final = """
SELECT id FROM spool.delivery WHERE id = ANY(%s) UNION ALL SELECT id FROM spool.record
WHERE id = ANY(%s)
"""
_LOCK: Final = "SELECT 1 FROM spool.ingest_lock WHERE slot = ANY(%s::int[]) ORDER BY slot FOR UPDATE"
_SEQS: Final = "SELECT nextval('spool.delivery_seq') AS seq FROM generate_series(1, %s) ORDER BY seq"
_CLOCKS: Final = f"SELECT organization, sandbox, n, {CLOCK} FROM spool.webhook w"
_COPY_DELIVERIES: Final = f"COPY spool.delivery (slot, seq, webhook, since, {', '.join(DELIVERY_NAMES)}) FROM STDIN"
_COPY_RECORDS: Final = f"COPY spool.record (period, seq, webhook, since, {', '.join(RECORD_NAMES)}) FROM STDIN"
_KNOWS: Final = "SELECT 1 FROM spool.webhook WHERE organization = %s AND sandbox = %s"
_NOTIFY: Final = "UPDATE spool.meta SET changes = changes + 1"
_FARTHEST: Final = 'SELECT max("offset") FROM spool.position WHERE reader = %s'
_REMOVE_SUPERSEDED: Final = """
DELETE FROM spool.position WHERE reader = %s AND (key = %s OR (key = '' AND device = %s AND inode = %s))
"""
_INSERT_POSITION: Final = f"""
INSERT INTO spool.position (reader, {POSITION_COLUMNS}) VALUES (%s{", %s" * len(POSITION_NAMES)})
ON CONFLICT DO NOTHING
"""


class PostgresMoveTarget(MovingSpool):
    """Implements transfer.MoveTarget. New deliveries are stored as those of a reader, beside running relays."""

    def __init__(self, spool: SpoolConnection) -> None:
        super().__init__(spool)
        if spool.query("SELECT 1 FROM spool.process WHERE kind = 'move' AND expires > clock_timestamp()"):
            spool.close()
            raise SpoolUnusable(f"the spool {spool.address} is itself being moved", hint="name two different spools")

    def add_webhooks(self, webhooks: Sequence[MovedWebhook], *, now: float) -> None:
        rows = [
            (*one.address, slot_of(one.address, self._spool.slots), one.held_since, one.held_seconds,
             *msgspec.structs.astuple(one.state), now)
            for one in webhooks
        ]  # fmt: skip
        with self._transaction() as connection:
            self._write(connection, _ADD_WEBHOOK, rows)
            connection.execute(self._spool.sql(_NOTIFY))

    def add_followed_moves(self, moves: Sequence[RecordedMove], *, now: float) -> Sequence[RecordedMove]:  # noqa: ARG002
        slots = {slot_of(one.old, self._spool.slots) for one in moves}
        with self._transaction() as connection:
            connection.execute(self._spool.sql(_LOCK), (sorted(slots),))  # nobody adds one of their webhooks
            connection.execute(self._spool.sql(_NOTIFY))  # locks the row after which moves are recorded
            for one in moves:
                values = move_values(one)
                if connection.execute(self._spool.sql(FIND_MOVE), values).fetchall():
                    continue
                if connection.execute(self._spool.sql(_KNOWS), one.old).fetchall():
                    raise SpoolUnusable(
                        f"the spool {self._spool.address} has not followed the move of {one.old} to {one.new}",
                        hint="start a relay on it with the present state, which follows it; then run this again",
                    )
                connection.execute(self._spool.sql(RECORD_MOVE), values)
            return recorded_moves(connection.execute(self._spool.sql(READ_FOLLOWED)).fetchall())

    def add(self, batch: MoveBatch, *, now: float) -> int:
        with self._transaction() as connection:
            new = self._new_deliveries(connection, batch.deliveries)
            self._add_deliveries(connection, new, now)
            lines = self._write(connection, _INSERT_LINE, [_line_row(one) for one in batch.lines])
            streams, numbers = [one.stream for one in batch.messages], [one.number for one in batch.messages]
            connection.execute(self._spool.sql(_ADD_STREAMS), (streams,))
            messages = connection.execute(self._spool.sql(_ADD_MESSAGES), (streams, numbers)).rowcount
            positions = sum(self._advance(connection, one) for one in batch.positions)
            records = sum(one.body is None for one in new)
            self.count(connection, Counter(moved_in=pending_among(new), records=records))
            connection.execute(self._spool.sql(_NOTIFY))
        return len(new) + lines + messages + positions

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction that ends within a third of a lease, so that no reader waits for long."""
        settings, values = settings_step(self._spool)
        with self._spool.transaction() as connection:
            connection.execute(self._spool.sql(settings), values)
            yield connection

    def _write(self, connection: Connection, statement: str, rows: Sequence[Sequence[object]]) -> int:
        """Run a statement for each row. Returns the number of rows that were inserted."""
        with connection.cursor() as cursor:
            if rows:
                cursor.executemany(self._spool.sql(statement), [[_stored(value) for value in row] for row in rows])
            return max(0, cursor.rowcount)

    def _new_deliveries(self, connection: Connection, deliveries: Sequence[MovedDelivery]) -> Sequence[MovedDelivery]:
        """Those that the spool does not know. Locks their slots, so that this remains so."""
        slots = {one.address: slot_of(one.address, self._spool.slots) for one in deliveries}
        self._write(connection, _FIND_WEBHOOK, [(*address, slot) for address, slot in slots.items()])
        connection.execute(self._spool.sql(_LOCK), (sorted(set(slots.values())),))
        ids = [one.id for one in deliveries]
        known = {bytes(found) for (found,) in connection.execute(self._spool.sql(_KNOWN), (ids, ids)).fetchall()}
        return [one for one in deliveries if one.id not in known]

    def _add_deliveries(self, connection: Connection, new: Sequence[MovedDelivery], now: float) -> None:
        sql = self._spool.sql
        clocks: dict[Address, tuple[int, float]] = {
            Address(organization, sandbox): (n, clock)
            for organization, sandbox, n, clock in connection.execute(sql(_CLOCKS), (now,)).fetchall()
        }
        seqs = connection.execute(sql(_SEQS), (len(new),)).fetchall()
        (period,) = connection.execute(sql(f"SELECT {CURRENT_PERIOD}")).fetchall()[0]
        deliveries, records = [], []
        for (seq,), one in zip(seqs, new, strict=True):
            n, clock = clocks[one.address]
            head = (seq, n, clock - one.age)
            if one.body is None:
                records.append((period, *head, *(getattr(one, name) for name in RECORD_NAMES)))
            else:
                slot = slot_of(one.address, self._spool.slots)
                deliveries.append((slot, *head, *(getattr(one, name) for name in DELIVERY_NAMES)))
        for statement, rows in ((_COPY_DELIVERIES, deliveries), (_COPY_RECORDS, records)):
            with connection.cursor() as cursor, cursor.copy(sql(statement)) as copy:
                for row in rows:
                    copy.write_row([_stored(value) for value in row])

    def _advance(self, connection: Connection, moved: MovedPosition) -> bool:
        """Write a position, unless the spool has one that is as far in the same content."""
        one, sql = moved.position, self._spool.sql
        same = "key = %s" if one.key else "%s = ''::bytea AND device = %s AND inode = %s"
        values = (one.key,) if one.key else (one.key, one.device, one.inode)
        found = connection.execute(sql(f"{_FARTHEST} AND {same}"), (moved.reader, *values)).fetchall()[0][0]
        if found is not None and found >= one.offset:
            return False
        connection.execute(sql(_REMOVE_SUPERSEDED), (moved.reader, one.key, one.device, one.inode))
        row = (moved.reader, *(getattr(one, name) for name in POSITION_NAMES))
        return bool(self._write(connection, _INSERT_POSITION, [row]))


def _stored(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _line_row(one: MovedLine) -> tuple[object, ...]:
    return (*(getattr(one.line, name) for name in LINE_NAMES), one.replayed)
