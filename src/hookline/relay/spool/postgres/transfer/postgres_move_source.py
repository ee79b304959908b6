"""The shared spool that a move empties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hookline.model import Address
from hookline.relay.delivery_record import DeadLine
from hookline.relay.sources.source import Position
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.postgres.relay_ports.followed_moves import READ_FOLLOWED, recorded_moves
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection
from hookline.relay.spool.postgres.transfer.exclusive_access import ExclusiveAccess
from hookline.relay.spool.postgres.transfer.moved_rows import (
    CLOCK,
    DELIVERY_NAMES,
    LINE_NAMES,
    POSITION_COLUMNS,
    RECORD_NAMES,
    STATE_NAMES,
    MovingSpool,
    pending_among,
)
from hookline.relay.spool.spool_values import EndpointState, State
from hookline.relay.spool.transfer import (
    MAX_BYTES_PER_MOVE,
    MAX_ROWS_PER_MOVE,
    Contents,
    MoveBatch,
    MovedDelivery,
    MovedLine,
    MovedMessage,
    MovedPosition,
    MovedWebhook,
)

_SIZES: Final = f"""
SELECT seq, octet_length(body) FROM spool.delivery WHERE seq > %s ORDER BY seq LIMIT {MAX_ROWS_PER_MOVE} FOR UPDATE
"""
_FROM_WEBHOOK: Final = f"w.organization, w.sandbox, {CLOCK} - d.since AS age"
_DELIVERIES: Final = f"""
SELECT {_FROM_WEBHOOK}, {", ".join(f"d.{name}" for name in DELIVERY_NAMES)}
FROM spool.delivery d JOIN spool.webhook w ON w.n = d.webhook WHERE d.seq = ANY(%s) ORDER BY d.seq
"""
_RECORDS: Final = f"""
SELECT {_FROM_WEBHOOK}, {", ".join(f"d.{name}" for name in RECORD_NAMES)},
  NULL::double precision AS due, 0 AS tries, 0 AS refusals, NULL::bytea AS body
FROM spool.record d JOIN spool.webhook w ON w.n = d.webhook
WHERE d.id > %s ORDER BY d.id LIMIT {MAX_ROWS_PER_MOVE}
"""
_LINES: Final = f"""
SELECT n, {", ".join(LINE_NAMES)}, replayed FROM spool.rejected WHERE n = ANY(%s) ORDER BY n
"""
_LINE_SIZES: Final = f"""
SELECT n, octet_length(data) FROM spool.rejected WHERE n > %s ORDER BY n LIMIT {MAX_ROWS_PER_MOVE} FOR UPDATE
"""
_MESSAGES: Final = f"""
SELECT s.identity, m.number, m.stream FROM spool.message m JOIN spool.stream s ON s.n = m.stream
WHERE (m.stream, m.number) > (%s, %s) ORDER BY m.stream, m.number LIMIT {MAX_ROWS_PER_MOVE}
"""
_REMOVE_MESSAGES: Final = """
DELETE FROM spool.message m USING unnest(%s::int[], %s::bigint[]) AS g (stream, number)
WHERE m.stream = g.stream AND m.number = g.number
"""
_POSITIONS: Final = f"SELECT reader, {POSITION_COLUMNS} FROM spool.position WHERE {{}} ORDER BY at, name"
_OF_READER: Final = "(%s::text IS NULL OR reader IN ('', %s))"
_READERS: Final = "SELECT DISTINCT reader FROM spool.position WHERE device != 0 OR inode != 0 ORDER BY reader"
_CONTENTS: Final = """
SELECT (SELECT count(*) FROM spool.delivery WHERE state = 0) AS pending,
  (SELECT count(*) FROM spool.delivery WHERE state = 2) AS dead,
  (SELECT count(*) FROM spool.record) AS records,
  (SELECT count(*) FROM spool.rejected) AS lines, (SELECT count(*) FROM spool.message) AS messages,
  (SELECT count(*) FROM spool.position) AS positions,
  (SELECT count(*) FROM spool.webhook) AS webhooks
"""
_WEBHOOKS: Final = f"""
SELECT organization, sandbox, held_since, held_seconds, {", ".join(STATE_NAMES)} FROM spool.webhook ORDER BY n
"""
_FORGET: Final = """
DELETE FROM spool.webhook w WHERE NOT EXISTS (SELECT 1 FROM spool.delivery d WHERE d.webhook = w.n)
  AND NOT EXISTS (SELECT 1 FROM spool.record d WHERE d.webhook = w.n)
"""


class PostgresMoveSource(MovingSpool):
    """Implements transfer.MoveSource. Operators' changes of the rows that are on their way wait."""

    def __init__(self, spool: SpoolConnection, *, now: float) -> None:
        super().__init__(spool)
        try:
            self._access = ExclusiveAccess(spool, now=now)
        except BaseException:
            spool.close()
            raise
        self._last_delivery, self._last_record, self._last_line = -(2**63), b"", 0
        self._last_message = (0, 0)

    def __exit__(self, *exception: object) -> None:
        try:
            self._access.release()
        finally:
            super().__exit__(*exception)

    def contents(self) -> Contents:
        with self._access.transaction() as connection:
            row = self.rows(connection, _CONTENTS)[0]
            readers = self.rows(connection, _READERS)
        return Contents(**row, readers=tuple(one["reader"] for one in readers))

    def webhooks(self) -> list[MovedWebhook]:
        with self._access.transaction() as connection:
            rows = self.rows(connection, _WEBHOOKS)
        return [
            MovedWebhook(
                address=Address(row.pop("organization"), row.pop("sandbox")), held_since=row.pop("held_since"),
                held_seconds=row.pop("held_seconds"), state=EndpointState(**row),
            )
            for row in rows
        ]  # fmt: skip

    def followed_moves(self) -> Sequence[RecordedMove]:
        with self._access.transaction() as connection:
            return recorded_moves(connection.execute(self._spool.sql(READ_FOLLOWED)).fetchall())

    @contextmanager
    def take(self, *, now: float, reader: str | None = None) -> Iterator[MoveBatch]:
        sql = self._spool.sql
        with self._access.transaction() as connection:
            if seqs := self._some(connection, _SIZES, self._last_delivery):
                deliveries = [_delivery(row) for row in self.rows(connection, _DELIVERIES, now, seqs)]
                yield MoveBatch(deliveries=deliveries)
                connection.execute(sql("DELETE FROM spool.delivery WHERE seq = ANY(%s)"), (seqs,))
                self.count(connection, Counter(moved_out=pending_among(deliveries)))
                self._last_delivery = seqs[-1]
            elif rows := self.rows(connection, _RECORDS, now, self._last_record):
                yield MoveBatch(deliveries=[_delivery(row) for row in rows])
                connection.execute(sql("DELETE FROM spool.record WHERE id = ANY(%s)"), ([row["id"] for row in rows],))
                self.count(connection, Counter(records=-len(rows)))
                self._last_record = rows[-1]["id"]
            elif numbers := self._some(connection, _LINE_SIZES, self._last_line):
                lines = self.rows(connection, _LINES, numbers)
                yield MoveBatch(lines=[_line(row) for row in lines])
                connection.execute(sql("DELETE FROM spool.rejected WHERE n = ANY(%s)"), (numbers,))
                self._last_line = numbers[-1]
            elif messages := connection.execute(sql(_MESSAGES), self._last_message).fetchall():
                yield MoveBatch(messages=[MovedMessage(identity, number) for identity, number, _ in messages])
                numbers, streams = [one[1] for one in messages], [one[2] for one in messages]
                connection.execute(sql(_REMOVE_MESSAGES), (streams, numbers))
                self._last_message = (streams[-1], numbers[-1])
            else:
                positions = self.rows(connection, _POSITIONS.format(_OF_READER), reader, reader)
                yield MoveBatch(positions=[MovedPosition(row.pop("reader"), Position(**row)) for row in positions])
                connection.execute(sql(f"DELETE FROM spool.position WHERE {_OF_READER}"), (reader, reader))
                for statement in ("DELETE FROM spool.stream", _FORGET):
                    connection.execute(sql(statement))

    def _some(self, connection: Connection, statement: str, after: int) -> list[int]:
        """The next numbers, locked, of rows that together have about the size of a batch."""
        found, room = [], MAX_BYTES_PER_MOVE
        for number, size in connection.execute(self._spool.sql(statement), (after,)).fetchall():
            found.append(number)
            room -= size
            if room <= 0:
                break
        return found


def _delivery(row: dict[str, Any]) -> MovedDelivery:
    address = Address(row.pop("organization"), row.pop("sandbox"))
    return MovedDelivery(**row | {"address": address, "state": State(row["state"])})


def _line(row: dict[str, Any]) -> MovedLine:
    replayed = bool(row.pop("replayed"))
    return MovedLine(DeadLine(**row), replayed)
