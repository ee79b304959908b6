"""Moves the contents of an embedded spool to another spool, or those of another one into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec

from hookline.relay.delivery_record import DeadLine
from hookline.relay.sources.source import Position
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.spool_values import EndpointState, State
from hookline.relay.spool.sqlite.bodies import BODY, remove_bodies, store_bodies
from hookline.relay.spool.sqlite.database import (
    DATABASE_FILE,
    damaged,
    map_damage,
    named_rows,
    open_existing,
    transaction,
)
from hookline.relay.spool.sqlite.enqueue import add_to_tally
from hookline.relay.spool.sqlite.lock import SpoolLock
from hookline.relay.spool.sqlite.schema import read_positions, write_position
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from hookline.relay.spool.sqlite.transfer import webhook_moves
from hookline.relay.spool.sqlite.webhook_status import (
    WebhookClock,
    number_of,
    read_addresses,
    read_clocks,
    read_states,
    stop_or_start_clock,
)
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

_COLUMNS: Final = (
    "id, state, due, order_key, attempts, tries, refusals, settled, request_id, channel, status, event_time, source, "
    "line, reason, http, detail, history, execution_id"
)
_NAMES: Final = _COLUMNS.split(", ")
_DELIVERIES: Final = f"""
SELECT d.seq, d.webhook, d.since, {", ".join(f"d.{name}" for name in _NAMES)}, {BODY} FROM delivery d
ORDER BY d.seq LIMIT {MAX_ROWS_PER_MOVE}
"""
_INSERT: Final = f"""
INSERT INTO delivery (seq, webhook, since, {_COLUMNS}) VALUES (?, ?, ?, {", ".join("?" for _ in _NAMES)})
"""
_LINE_NAMES: Final = tuple(name for name in DeadLine.__struct_fields__ if name != "n")
_LINES: Final = f"SELECT n, {', '.join(_LINE_NAMES)}, replayed FROM rejected ORDER BY n LIMIT {MAX_ROWS_PER_MOVE}"
_MESSAGES: Final = f"""
SELECT s.identity, m.number, m.stream FROM message m CROSS JOIN stream s ON s.n = m.stream
ORDER BY m.stream, m.number LIMIT {MAX_ROWS_PER_MOVE}
"""
_ADD_STREAM: Final = "INSERT INTO stream (identity) VALUES (?) ON CONFLICT (identity) DO NOTHING"
_ADD_MESSAGE: Final = """
INSERT INTO message (stream, number) SELECT n, ? FROM stream WHERE identity = ? ON CONFLICT DO NOTHING
"""
_INSERT_LINE: Final = f"""
INSERT INTO rejected ({", ".join(_LINE_NAMES)}, replayed) VALUES ({", ".join("?" for _ in _LINE_NAMES)}, ?)
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""
_CONTENTS: Final = """
SELECT (SELECT count(*) FROM delivery WHERE state = 0) AS pending,
  (SELECT count(*) FROM delivery WHERE state = 2) AS dead,
  (SELECT count(*) FROM delivery WHERE state IN (1, 3)) AS records,
  (SELECT count(*) FROM rejected) AS lines, (SELECT count(*) FROM message) AS messages,
  (SELECT count(*) FROM position) AS positions,
  (SELECT count(*) FROM webhook) AS webhooks,
  EXISTS (SELECT 1 FROM position WHERE device != 0 OR inode != 0) AS has_files
"""
_STATE_NAMES: Final = EndpointState.__struct_fields__
_INSERT_WEBHOOK: Final = f"""
INSERT INTO webhook (organization, sandbox, held_since, held_seconds, {", ".join(_STATE_NAMES)})
VALUES ({", ".join("?" for _ in (*_STATE_NAMES, 1, 2, 3, 4))})
"""
_MERGE_WEBHOOK: Final = """
UPDATE webhook SET paused = coalesce(paused, ?1),
  not_before = max(coalesce(not_before, ?2), coalesce(?2, not_before)),
  retry_now_at = max(coalesce(retry_now_at, ?3), coalesce(?3, retry_now_at)) WHERE n = ?4
"""
_FORGET: Final = "DELETE FROM webhook WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE webhook = webhook.n)"

_T = TypeVar("_T")


class _LockedSpool:
    """The open database of an existing spool that no relay can open until the end of the block."""

    def __init__(self, directory: Path, access: StorageAccess, *, since: str) -> None:
        self._path = directory / DATABASE_FILE
        self._connection = open_existing(directory, access)
        try:
            self._lock = SpoolLock(directory, since=since, sleep=access.sleep)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._connection.close()
        self._lock.release()


class SqliteMoveSource(_LockedSpool):
    """Implements transfer.MoveSource. Commands that change the spool wait while a batch is on its way."""

    def contents(self) -> Contents:
        with map_damage(self._path):
            row = next(named_rows(self._connection.execute(_CONTENTS)))
        return Contents(readers=("",) if row.pop("has_files") else (), **row)

    def webhooks(self) -> list[MovedWebhook]:
        with map_damage(self._path):
            addresses, clocks = read_addresses(self._connection), read_clocks(self._connection)
            states = read_states(self._connection)
        return [
            MovedWebhook(address=address, state=states[address], held_since=clocks[n].held_since,
                         held_seconds=clocks[n].held_seconds)
            for n, address in addresses.items()
        ]  # fmt: skip

    def followed_moves(self) -> Sequence[RecordedMove]:
        with map_damage(self._path):
            return webhook_moves.read(self._connection).moves

    @contextmanager
    def take(self, *, now: float, reader: str | None = None) -> Iterator[MoveBatch]:  # noqa: ARG002 - it has none
        with transaction(self._connection):
            if rows := _some(named_rows(self._connection.execute(_DELIVERIES)), lambda row: row["body"]):
                seqs = [row.pop("seq") for row in rows]
                batch = MoveBatch(deliveries=self._deliveries(rows, now))
                yield batch
                self._remove_deliveries(seqs, batch.deliveries)
            elif rows := _some(named_rows(self._connection.execute(_LINES)), lambda row: row["data"]):
                yield MoveBatch(lines=[_line(row) for row in rows])
                self._connection.executemany("DELETE FROM rejected WHERE n = ?", [(row["n"],) for row in rows])
            elif messages := self._connection.execute(_MESSAGES).fetchall():
                yield MoveBatch(messages=[MovedMessage(identity, number) for identity, number, _ in messages])
                removed = [(stream, number) for _, number, stream in messages]
                self._connection.executemany("DELETE FROM message WHERE stream = ? AND number = ?", removed)
            else:
                yield MoveBatch(positions=[MovedPosition("", one) for one in read_positions(self._connection)])
                for statement in ("DELETE FROM position", "DELETE FROM stream", _FORGET):
                    self._connection.execute(statement)

    def _deliveries(self, rows: Iterable[dict[str, Any]], now: float) -> list[MovedDelivery]:
        addresses, clocks = read_addresses(self._connection), read_clocks(self._connection)
        deliveries = []
        for row in rows:
            n, state = row.pop("webhook"), State(row["state"])
            if row["body"] is None and state in (State.PENDING, State.DEAD):
                raise damaged(self._path, "a delivery has no payload")
            age = clocks[n].at(now) - row.pop("since")
            deliveries.append(MovedDelivery(**row | {"address": addresses[n], "state": state, "age": age}))
        return deliveries

    def _remove_deliveries(self, seqs: Sequence[int], deliveries: Sequence[MovedDelivery]) -> None:
        self._connection.executemany("DELETE FROM delivery WHERE seq = ?", [(seq,) for seq in seqs])
        remove_bodies(self._connection, seqs, all_settled=True)
        pending = sum(one.state is State.PENDING for one in deliveries)
        records = sum(one.body is None for one in deliveries)
        add_to_tally(self._connection, [("moved_out", pending), ("records", -records)])


class SqliteMoveTarget(_LockedSpool):
    """Implements transfer.MoveTarget."""

    def add_webhooks(self, webhooks: Sequence[MovedWebhook], *, now: float) -> None:
        with transaction(self._connection):
            numbers = {address: n for n, address in read_addresses(self._connection).items()}
            for one in webhooks:
                if (n := numbers.get(one.address)) is None:
                    values = (*one.address, one.held_since, one.held_seconds, *msgspec.structs.astuple(one.state))
                    self._connection.execute(_INSERT_WEBHOOK, values)
                else:
                    state = one.state
                    self._connection.execute(_MERGE_WEBHOOK, (state.paused, state.not_before, state.retry_now_at, n))
                    stop_or_start_clock(self._connection, n, now)

    def add_followed_moves(self, moves: Sequence[RecordedMove], *, now: float) -> Sequence[RecordedMove]:
        with transaction(self._connection):
            for one in moves:
                webhook_moves.follow(self._connection, one, now)
            return webhook_moves.read(self._connection).moves

    def add(self, batch: MoveBatch, *, now: float) -> int:
        with transaction(self._connection):
            return (
                self._add_deliveries(batch.deliveries, now)
                + self._connection.executemany(_INSERT_LINE, map(_line_row, batch.lines)).rowcount
                + self._add_messages(batch.messages)
                + sum(_advance(self._connection, one.position) for one in batch.positions)
            )

    def _add_deliveries(self, deliveries: Sequence[MovedDelivery], now: float) -> int:
        new = [one for one in deliveries if not self._is_known(one.id)]
        numbers = {
            address: number_of(self._connection, address) for address in dict.fromkeys(one.address for one in new)
        }
        clocks = read_clocks(self._connection)
        last = self._connection.execute("SELECT max(0, coalesce(max(seq), 0)) FROM delivery").fetchone()[0]
        rows, bodies = [], []
        for seq, one in zip(count(last + 1), new, strict=False):
            n = numbers[one.address]
            since = clocks.get(n, WebhookClock()).at(now) - one.age
            rows.append((seq, n, since, *(getattr(one, name) for name in _NAMES)))
            if one.body is not None:
                bodies.append((seq, one.body))
        self._connection.executemany(_INSERT, rows)
        store_bodies(self._connection, bodies, all_stored=True)
        pending = sum(one.state is State.PENDING for one in new)
        add_to_tally(self._connection, [("moved_in", pending), ("records", len(rows) - len(bodies))])
        return len(new)

    def _add_messages(self, messages: Sequence[MovedMessage]) -> int:
        self._connection.executemany(_ADD_STREAM, {(one.stream,) for one in messages})
        rows = [(one.number, one.stream) for one in messages]
        return self._connection.executemany(_ADD_MESSAGE, rows).rowcount if rows else 0

    def _is_known(self, identity: bytes) -> bool:
        return self._connection.execute("SELECT 1 FROM delivery WHERE id = ?", (identity,)).fetchone() is not None


def _some(rows: Iterable[_T], data: Callable[[_T], bytes | None]) -> list[_T]:
    """The first rows, until their data has about the size of a batch."""
    found, room = [], MAX_BYTES_PER_MOVE
    for row in rows:
        found.append(row)
        room -= len(data(row) or b"")
        if room <= 0:
            break
    return found


def _line_row(one: MovedLine) -> tuple[object, ...]:
    return (*(getattr(one.line, name) for name in _LINE_NAMES), int(one.replayed))


def _advance(connection: sqlite3.Connection, moved: Position) -> bool:
    """Write a position, unless the spool has one that is as far in the same content."""
    same = "key = ?" if moved.key else "? = x'' AND device = ? AND inode = ?"
    values = (moved.key,) if moved.key else (moved.key, moved.device, moved.inode)
    found = connection.execute(f"SELECT max(offset) FROM position WHERE {same}", values).fetchone()[0]
    if found is not None and found >= moved.offset:
        return False
    write_position(connection, moved, now=moved.at)
    return True


def _line(row: dict[str, Any]) -> MovedLine:
    replayed = bool(row.pop("replayed"))
    return MovedLine(DeadLine(**row), replayed)
