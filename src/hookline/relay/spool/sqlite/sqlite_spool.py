"""The embedded spool: one SQLite database, groups of events in one synced transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from hookline.errors import SpoolFull
from hookline.model import Address
from hookline.relay.delivery_record import Line
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, Position
from hookline.relay.spool.spool import (
    DequeueRequest,
    EndpointState,
    IngestBatch,
    QueuedDelivery,
    ReplayedLine,
    Retention,
    Settlement,
)
from hookline.relay.spool.sqlite import cleanup, dequeue, enqueue, settle, webhook_status
from hookline.relay.spool.sqlite.database import (
    DATABASE_FILE,
    create_or_open,
    damage_named,
    make_directory,
    sync_log,
    transaction,
)
from hookline.relay.spool.sqlite.disk_reserve import RESERVE_BYTES, DiskReserve
from hookline.relay.spool.sqlite.lock import SpoolLock
from hookline.relay.spool.sqlite.schema import forget_oldest, read_positions, write_position

_SYNC_SECONDS: Final = 0.5
_NEW: Final = webhook_status.WebhookClock()
_TO_READ_AGAIN: Final = """
SELECT n, source, line, part, length, sha256, data FROM rejected WHERE again = 1 ORDER BY n LIMIT ?
"""


class SqliteSpool:
    """Implements port.Spool. Held by one process at a time (`lock`); other commands work beside it."""

    def __init__(self, directory: Path, *, since: str) -> None:
        """Open or make the spool and lock it. `since` is this moment as text, for the message to a second relay.

        Raises SpoolUnusable when it is held, damaged, or newer than this program.
        """
        make_directory(directory)
        self._lock = SpoolLock(directory, since=since)
        try:
            self._path = directory / DATABASE_FILE
            self._connection = create_or_open(directory)
            self._reserve = DiskReserve(directory)
            with damage_named(self._path):
                self._load()
        except BaseException:
            self._lock.release()
            raise

    def _load(self) -> None:
        self._synced_at = 0.0
        self._unsynced = False
        self._read_webhooks()
        self._data_version: int = self._query("PRAGMA data_version")[0][0]
        # Imported dead letters have numbers below 0, and lanes load from 0 on.
        self._seq: int = self._query("SELECT max(0, coalesce(max(seq), 0)) FROM delivery")[0][0]

    def _read_webhooks(self) -> None:
        """Other commands give webhooks their numbers too (`pause`, `dead import`)."""
        self._addresses = webhook_status.read_addresses(self._connection)
        self._webhooks = {address: n for n, address in self._addresses.items()}
        self._clocks = webhook_status.read_clocks(self._connection)

    def _query(self, statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        with damage_named(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _writing(self, *, synced: bool = True) -> Iterator[None]:
        """A transaction. When the disk is full it fails, and finds room the next time: delivering can go on."""
        try:
            with transaction(self._connection, synced=synced):
                yield
            self._unsynced = not synced
        except SpoolFull:
            self._reserve.lend()
            self._empty_log()
            raise

    def _empty_log(self) -> None:
        """The log's pages move into the database, and the log gives its own room back."""
        with suppress(sqlite3.DatabaseError):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _require_reserve(self) -> None:
        """Raises SpoolFull while the room for outcomes is lent: nothing is to be read into it."""
        if not self._reserve.restore():
            self._empty_log()
            if not self._reserve.restore():
                raise SpoolFull(
                    f"the disk of the spool {self._path.parent} has less room than the {RESERVE_BYTES >> 20} MiB "
                    "that are "
                    "kept for outcomes",
                    hint="make room; nothing was changed",
                )

    def _number(self, address: Address) -> int:
        if (number := self._webhooks.get(address)) is None:
            with self._writing():
                number = webhook_status.number_of(self._connection, address)
            self._webhooks[address] = number
            self._addresses[number] = address
        return number

    # -- reading

    def positions(self) -> list[Position]:
        with damage_named(self._path):
            return read_positions(self._connection)

    def to_read_again(self, *, limit: int) -> list[ReplayedLine]:
        found: list[ReplayedLine] = []
        room = MAX_BYTES_PER_BATCH
        with damage_named(self._path), closing(self._connection.execute(_TO_READ_AGAIN, (limit,))) as rows:
            for n, source, line, part, length, sha256, data in rows:
                found.append(
                    ReplayedLine(n, source, Line(line, data, length, sha256 if length > len(data) else None), part)
                )
                room -= len(data)
                if room <= 0:
                    break
        return found

    def append(self, intake: IngestBatch, *, now: float, dedupe_window: float) -> int:
        self._require_reserve()
        numbers = {address: self._number(address) for address in {one.delivery.address for one in intake.deliveries}}
        rows = self._rows(intake, numbers, now)
        # No room is lent for this: what is left on the disk is for the outcomes of what is here already.
        with transaction(self._connection):
            self._connection.executemany("DELETE FROM rejected WHERE n = ?", [(n,) for n in intake.again])
            stored = enqueue.store(self._connection, rows, now - dedupe_window)
            refused = enqueue.reject(self._connection, intake.source, intake.rejected, now)
            duplicates = len(rows) - stored + len(intake.rejected) - refused
            amounts = {
                "read": intake.read, "replayed": len(intake.again), "rejected": refused, "duplicates": duplicates,
            } | {f"skipped:{reason}": n for reason, n in intake.skipped.items()}  # fmt: skip
            enqueue.add_to_tally(self._connection, amounts.items())
            if intake.position is not None:
                write_position(self._connection, intake.position, now=now)
            pending = enqueue.read_tally(self._connection)["pending"]
        self._synced_at, self._unsynced = now, False
        return pending

    def _rows(self, intake: IngestBatch, numbers: dict[Address, int], now: float) -> list[enqueue.DeliveryRow]:
        rows: list[enqueue.DeliveryRow] = []
        since = {address: self._clocks.get(n, _NEW).at(now) for address, n in numbers.items()}
        for taken in intake.deliveries:
            self._seq += 1
            one = taken.delivery
            rows.append(
                (self._seq, one.id, numbers[one.address], one.order_key, since[one.address], one.request_id,
                 one.channel, one.status, one.time, intake.source, taken.line, one.detail, one.body)
            )  # fmt: skip
        return rows

    # -- delivering

    def fresh(self, wanted: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        return [self._new(one) for one in wanted]

    def _new(self, one: DequeueRequest) -> tuple[list[QueuedDelivery], int]:
        if (webhook := self._webhooks.get(one.address)) is None:
            return [], self._seq
        with damage_named(self._path):
            rows = dequeue.dequeue_new(
                self._connection, webhook, after=one.after, limit=one.limit, ordered=one.ordered
            )
        return self._waiting(rows), rows[-1][0] if len(rows) == one.limit else self._seq

    def due(self, address: Address, *, now: float, limit: int, without: Collection[int]) -> list[QueuedDelivery]:
        if (webhook := self._webhooks.get(address)) is None:
            return []
        with damage_named(self._path):
            return self._waiting(
                dequeue.dequeue_due(self._connection, webhook, now=now, limit=limit, without=without)
            )

    def next_due(self, address: Address, *, after: float) -> float | None:
        if (webhook := self._webhooks.get(address)) is None:
            return None
        with damage_named(self._path):
            return dequeue.next_due(self._connection, webhook, after=after)

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        with damage_named(self._path):
            dues = dict(dequeue.next_dues(self._connection))
            if not dues.keys() <= self._addresses.keys():
                self._read_webhooks()
        return {one: dues[n] for one in addresses if (n := self._webhooks.get(one)) in dues}

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        # An outcome that a power cut takes is an event delivered twice, not a lost one: most groups are not synced.
        synced = not 0.0 <= now - self._synced_at < _SYNC_SECONDS
        with self._writing(synced=synced):
            freed = self._waiting(settle.record(self._connection, settlements, now))
        if synced:
            self._synced_at = now
        return freed

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        if (webhook := self._webhooks.get(address)) is None:
            return 0
        with self._writing():
            return settle.dead_letter(self._connection, webhook, reason=reason, now=now, without=without, limit=limit)

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        if (webhook := self._webhooks.get(address)) is None:
            return 0
        own = before - self._clocks.get(webhook, _NEW).idle
        with self._writing():
            return settle.expire(self._connection, webhook, before=own, now=now, without=without, limit=limit)

    def make_due(self, address: Address, *, now: float, limit: int) -> int:
        if (webhook := self._webhooks.get(address)) is None:
            return 0
        with self._writing():
            return webhook_status.make_due(self._connection, webhook, now, limit)

    def _waiting(self, rows: Sequence[tuple]) -> list[QueuedDelivery]:  # type: ignore[type-arg]
        clocks, addresses = self._clocks, self._addresses
        return [
            QueuedDelivery(
                seq, identity, addresses[webhook], due, order_key, attempts, tries, refusals,
                since + clocks.get(webhook, _NEW).idle, event_time, history, body, request_id,
            )
            for (seq, identity, webhook, due, order_key, attempts, tries, refusals, since, event_time, history, body,
                 request_id) in rows
        ]  # fmt: skip

    # -- how webhooks stand

    def pending(self) -> set[Address]:
        return {
            address
            for address, n in self._webhooks.items()
            if self._query("SELECT 1 FROM delivery WHERE state = 0 AND webhook = ? LIMIT 1", n)
        }

    def standing(self) -> dict[Address, EndpointState]:
        with damage_named(self._path):
            return webhook_status.read_states(self._connection)

    def hold(self, address: Address, *, disabled: bool, now: float) -> None:
        number = self._number(address)
        with self._writing():
            webhook_status.set_disabled(self._connection, number, disabled, now)
        self._clocks = webhook_status.read_clocks(self._connection)

    def remember(
        self, address: Address, *, stopped: str | None, stopped_as: str | None, not_before: float | None
    ) -> None:
        number = self._number(address)
        with self._writing():
            webhook_status.save_state(self._connection, number, stopped, stopped_as, not_before)

    # -- upkeep

    def _sync(self) -> None:
        """Have on the disk what the last transactions left to the operating system."""
        if self._unsynced:
            sync_log(self._path)
            self._unsynced = False

    def changed_elsewhere(self) -> bool:
        self._sync()
        seen, self._data_version = self._data_version, self._query("PRAGMA data_version")[0][0]
        if seen == self._data_version:
            return False
        with damage_named(self._path):
            self._read_webhooks()
        return True

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        with self._writing():
            forget_oldest(self._connection)
            return cleanup.cleanup(self._connection, now=now, keep=keep, limit=limit)

    def tally(self) -> dict[str, int]:
        with damage_named(self._path):
            return enqueue.read_tally(self._connection)

    def close(self) -> None:
        self._sync()
        self._connection.close()
        self._lock.release()
