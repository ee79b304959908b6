"""The embedded spool: one SQLite database. One synced transaction stores a group of events."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Final

from hookline.errors import MessagesKnown, MovesUnknown, SpoolFull, SpoolStalled
from hookline.model import Address
from hookline.relay.delivery_record import Line
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.crash_notes import CrashNote, slot_work
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    EndpointState,
    Enqueued,
    IngestBatch,
    ProbeRequest,
    QueuedDelivery,
    ReplayedLine,
    Retention,
    Settlement,
    State,
)
from hookline.relay.spool.sqlite import dequeue, enqueue, settle, stream_messages, webhook_status
from hookline.relay.spool.sqlite.database import (
    DATABASE_FILE,
    create_directory,
    create_or_open,
    damaged,
    map_damage,
    sync_log,
    transaction,
)
from hookline.relay.spool.sqlite.disk_reserve import DiskReserve
from hookline.relay.spool.sqlite.enqueue import DeliveryRow
from hookline.relay.spool.sqlite.lock import SpoolLock
from hookline.relay.spool.sqlite.memory.early_answers import EarlyAnswers
from hookline.relay.spool.sqlite.memory.pending_messages import PendingMessages
from hookline.relay.spool.sqlite.progress import activity_ring, work_starts
from hookline.relay.spool.sqlite.schema import (
    read_positions,
    remove_oldest_positions,
    require_followed,
    write_position,
)
from hookline.relay.spool.sqlite.storage_access import REAL_ACCESS, StorageAccess
from hookline.relay.spool.sqlite.transfer import webhook_moves

_SYNC_SECONDS: Final = 0.5
_PENDING: Final = State.PENDING  # as in settle.py
_SAVE_STATE: Final = "UPDATE webhook SET gone_reason = ?, gone_configuration = ?, not_before = ? WHERE n = ?"
_NEW_CLOCK: Final = webhook_status.WebhookClock()
# One process owns all webhooks of an embedded spool.
_SLOT: Final = slot_work(0)
_BODY_OF: Final = itemgetter(dequeue.COLUMNS.index("body"))
_REPLAYED_LINES: Final = """
SELECT n, source, line, part, length, sha256, data FROM rejected WHERE replayed = 1 ORDER BY n LIMIT ?
"""


class SqliteSpool:
    """Implements spool.Spool. One process at a time holds it (lock.py). Other commands work beside it."""

    def __init__(self, directory: Path, access: StorageAccess = REAL_ACCESS, *, since: str) -> None:
        """Open or create the spool and lock it. Arguments and errors as in factory.SpoolStore.open."""
        create_directory(directory)
        self._access = access
        self._lock = SpoolLock(directory, since=since, sleep=access.sleep)
        try:
            self._path = directory / DATABASE_FILE
            self._connection = create_or_open(directory, access)
            self._reserve = DiskReserve(directory, access.reserve_bytes)
            self._load()
        except BaseException:
            self._lock.release()
            raise

    def _load(self) -> None:
        self._synced_at = 0.0
        self._unsynced = self._moved_orphans = False
        self._read_webhooks()
        self._data_version: int = self._query("PRAGMA data_version")[0][0]
        # Imported dead letters have a seq below 0. Lanes load from 0 on.
        self._seq: int = self._query("SELECT max(0, coalesce(max(seq), 0)) FROM delivery")[0][0]
        self._latest_move = self.followed_moves().number
        self._messages = PendingMessages(
            any_up_to=lambda webhook, seq: bool(self._query(dequeue.ANY_PENDING_UP_TO, self._known(webhook), seq)),
            pending_among=lambda webhook, keys: {
                key for (key,) in self._query(dequeue.PENDING_MESSAGES, self._known(webhook), json.dumps(keys))
            },
        )
        self._forget_messages()
        self._early_answers = EarlyAnswers(self._messages, self._seq)
        self._started: dict[str, None] = {}
        self._latest_start = 0.0
        self._slot_has_starts = work_starts.has_starts(self._connection, _SLOT)

    def _forget_messages(self) -> None:
        self._messages.forget(self._webhooks, self._seq)

    def _read_webhooks(self) -> None:
        """Called again when another process has written: `pause` and `dead import` add webhooks."""
        with map_damage(self._path):
            self._addresses = webhook_status.read_addresses(self._connection)
            self._clocks = webhook_status.read_clocks(self._connection)
        self._webhooks = {address: n for n, address in self._addresses.items()}

    def _query(self, statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        with map_damage(self._path):
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _transaction(self, *, synced: bool = True) -> Iterator[None]:
        """A transaction. If the disk is full it fails and releases the reserve, so that the next one finds space."""
        try:
            with transaction(self._connection, synced=synced):
                yield
        except SpoolFull:
            self._reserve.release()
            self._truncate_log()
            raise

    def _truncate_log(self) -> None:
        """Move the pages of the write-ahead log into the database, and give the space of the log back."""
        with suppress(sqlite3.DatabaseError):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _require_reserve(self) -> None:
        """Raises SpoolFull while the reserve is released, because ingest must not use its space."""
        if not self._reserve.acquire():
            self._truncate_log()
            if not self._reserve.acquire():
                raise SpoolFull(
                    f"the disk of the spool {self._path.parent} has less room than the "
                    f"{self._access.reserve_bytes >> 20} MiB that are kept for outcomes",
                    hint="free disk space; nothing was changed",
                )

    def _known(self, address: Address) -> int:
        """The webhook's number. 0, which no webhook has, if the spool does not know it."""
        return self._webhooks.get(address, 0)

    def _number(self, address: Address) -> int:
        if (number := self._webhooks.get(address)) is None:
            with self._transaction():
                number = webhook_status.number_of(self._connection, address)
            self._webhooks[address] = number
            self._addresses[number] = address
        return number

    # -- IngestSpool

    def positions(self) -> list[Position]:
        with map_damage(self._path):
            return read_positions(self._connection)

    def replayed_lines(self, *, limit: int) -> list[ReplayedLine]:
        found: list[ReplayedLine] = []
        room = MAX_BYTES_PER_BATCH
        with map_damage(self._path), closing(self._connection.execute(_REPLAYED_LINES, (limit,))) as rows:
            for n, source, line, part, length, sha256, data in rows:
                found.append(
                    ReplayedLine(n, source, Line(line, data, length, sha256 if length > len(data) else None), part)
                )
                room -= len(data)
                if room <= 0:
                    break
        return found

    def enqueue(
        self, batch: IngestBatch, *, now: float, dedupe_window: float, requests: Sequence[DequeueRequest] = ()
    ) -> Enqueued:
        self._require_reserve()
        if batch.position is not None and batch.position.follows is not None:
            # Before the transaction, so that nothing is undone: only the process that holds the lock moves positions.
            with map_damage(self._path):
                require_followed(self._connection, batch.position)
        self._require_moves(batch)
        self._require_new(batch)
        numbers = {
            address: self._number(address)
            for address in dict.fromkeys(one.delivery.address for one in batch.deliveries)
        }
        rows = self._rows(batch, numbers, now)
        clocks = {address: self._clocks.get(n, _NEW_CLOCK) for address, n in numbers.items()}
        answers = self._early_answers.prepare(
            batch.deliveries, requests, last_seq=self._seq,
            since={address: clock.at(now) + clock.held_seconds for address, clock in clocks.items()},
        )  # fmt: skip
        order_keys = [one.delivery.order_key for one in batch.deliveries if one.delivery.order_key is not None]
        self._messages.add(order_keys)
        # This does not release the reserve: it is for the outcomes of stored deliveries.
        with transaction(self._connection):
            if batch.replaced_lines:
                self._connection.executemany("DELETE FROM rejected WHERE n = ?", [(n,) for n in batch.replaced_lines])
            horizon = now - dedupe_window if dedupe_window else math.inf
            inserted, revived = enqueue.store(self._connection, rows, horizon)
            rejected = enqueue.store_lines(self._connection, enqueue.line_rows(batch.source, batch.rejected, now))
            duplicates = len(rows) - inserted - revived + len(batch.rejected) - rejected + batch.redelivered
            amounts = {
                "read": batch.read, "replayed": len(batch.replaced_lines), "rejected": rejected,
                "duplicates": duplicates,
            } | {f"skipped:{reason}": n for reason, n in batch.skipped.items()}  # fmt: skip
            enqueue.add_to_tally(self._connection, amounts.items())
            if batch.position is not None:
                write_position(self._connection, batch.position, now=now)
            if batch.messages is not None:
                stream_messages.remember(self._connection, batch.messages)
            if batch.progress_of is not None:
                work_starts.forget(self._connection, batch.progress_of)
            pending = enqueue.read_tally(self._connection)["pending"]
        if batch.progress_of is not None:  # a run can read any number of sources
            self._started.pop(batch.progress_of, None)
        if not inserted + revived:
            self._messages.remove(order_keys)
        elif self._messages.is_full:
            self._forget_messages()
        return Enqueued(pending, answers if inserted == len(rows) else ())

    def _require_moves(self, batch: IngestBatch) -> None:
        """Raises MovesUnknown. Only this process follows moves."""
        if batch.deliveries and batch.moves < self._latest_move:
            raise MovesUnknown(f"{batch.source}: lines were routed before a webhook has moved")

    def _require_new(self, batch: IngestBatch) -> None:
        """Raises MessagesKnown. Only this process stores messages, so the answer holds until it does."""
        if batch.messages is not None:
            with map_damage(self._path):
                known = stream_messages.known_messages(self._connection, batch.messages)
            if known:
                raise MessagesKnown(known)

    def _rows(self, batch: IngestBatch, numbers: dict[Address, int], now: float) -> list[DeliveryRow]:
        rows: list[DeliveryRow] = []
        since = {address: self._clocks.get(n, _NEW_CLOCK).at(now) for address, n in numbers.items()}
        for new in batch.deliveries:
            self._seq += 1
            one = new.delivery
            rows.append(
                (self._seq, one.id, numbers[one.address], one.order_key, since[one.address], one.request_id,
                 one.channel, one.status, one.time, batch.source, new.line, one.detail,
                 one.execution_id, one.body)
            )  # fmt: skip
        return rows

    # -- DequeueSpool, SettleSpool

    def dequeue_new(self, requests: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        return [self._dequeue_new(one) for one in requests]

    def _dequeue_new(self, one: DequeueRequest) -> tuple[list[QueuedDelivery], int]:
        statement = dequeue.NEW_ORDERED if one.ordered else dequeue.NEW_UNORDERED
        rows = self._query(statement, self._known(one.address), one.after, one.limit)
        return self._queued(rows), rows[-1][0] if len(rows) == one.limit else self._seq

    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        rows = self._query(dequeue.DUE_RETRIES, self._known(address), now, limit + len(without))
        return self._queued([row for row in rows if row[0] not in without][:limit])

    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        webhook = self._known(request.address)
        oldest, newest = self._query(dequeue.BACKLOG_ENDS, webhook)[0]
        if oldest is None:
            return None
        statement = dequeue.PROBE_UP_TO if request.place >= 1.0 else dequeue.PROBE_FROM
        place = oldest + int((newest - oldest) * request.place)
        excluded = json.dumps(sorted(without))
        for untried in (True, False):
            values = (webhook, place, request.ordered, now, request.other_than, excluded, untried)
            if rows := self._query(statement, *values):
                return self._queued(rows)[0]
        return None

    def next_due(self, address: Address, *, after: float) -> float | None:
        earliest: float | None = self._query(dequeue.NEXT_DUE, self._known(address), after)[0][0]
        return earliest

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        dues: dict[int, float] = dict(self._query(dequeue.NEXT_DUES))
        if not dues.keys() <= self._addresses.keys():
            self._read_webhooks()
        return {one: dues[n] for one in addresses if (n := self._webhooks.get(one)) in dues}

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        # Most groups are not synced: if a power cut loses a result, the event is sent twice, but not lost. A later
        # transaction is no sync of earlier ones, because SQLite syncs nothing if no page has changed.
        with self._transaction(synced=False):
            ended = settle.record(self._connection, settlements, now)
            waiting = self._messages.with_successors(settlements)
            freed = self._queued(settle.read_successors(self._connection, waiting))
            if settlements and self._slot_has_starts:
                work_starts.end_count(self._connection, _SLOT)
        self._slot_has_starts &= not settlements
        if ended == sum(one.state is not _PENDING for one in settlements):
            self._messages.remove_settled(settlements)
        else:  # some were settled before, so that it is not known which counts go down
            self._forget_messages()
        self._unsynced = True
        if not 0.0 <= now - self._synced_at < _SYNC_SECONDS and self._sync():
            self._synced_at = now
        return freed

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        with self._transaction():
            rows = self._query(settle.FIRST, self._known(address), limit + len(without))
            seqs = [n for (n,) in rows if n not in without][:limit]
            return settle.dead_letter(self._connection, seqs, reason, now)

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        with self._transaction():
            rows = self._query(settle.OLDEST, *address, before, now, limit + len(without))
            seqs = [n for (n,) in rows if n not in without][:limit]
            return settle.dead_letter(self._connection, seqs, "expired", now)

    def make_due(self, address: Address, *, now: float, limit: int, after: float | None = None) -> int:
        with self._transaction():
            return webhook_status.make_due(self._connection, self._known(address), now, limit, after)

    def _queued(self, rows: Sequence[tuple]) -> list[QueuedDelivery]:  # type: ignore[type-arg]
        if None in map(_BODY_OF, rows):
            raise damaged(self._path, "a pending delivery has no payload")
        clocks, addresses = self._clocks, self._addresses
        return [
            QueuedDelivery(
                seq, identity, addresses[webhook], due, order_key, attempts, tries, refusals,
                since + clocks.get(webhook, _NEW_CLOCK).held_seconds, event_time, history, body, request_id,
            )
            for (seq, identity, webhook, due, order_key, attempts, tries, refusals, since, event_time, history, body,
                 request_id) in rows
        ]  # fmt: skip

    # -- EndpointStates

    def pending(self) -> set[Address]:
        found = self._query(dequeue.WITH_PENDING)
        return {self._addresses[n] for (n,) in found if n in self._addresses}

    def endpoint_states(self) -> dict[Address, EndpointState]:
        with map_damage(self._path):
            return webhook_status.read_states(self._connection)

    def set_disabled(self, address: Address, *, disabled: bool, now: float) -> None:
        number = self._number(address)
        with self._transaction():
            webhook_status.save_disabled(self._connection, number, disabled, now)
        self._clocks = webhook_status.read_clocks(self._connection)

    def save_endpoint_state(
        self, address: Address, *, gone_reason: str | None, gone_configuration: str | None, not_before: float | None
    ) -> None:
        number = self._number(address)
        with self._transaction():
            self._connection.execute(_SAVE_STATE, (gone_reason, gone_configuration, not_before, number))

    # -- AddressMoves

    def followed_moves(self) -> FollowedMoves:
        with map_damage(self._path):
            return webhook_moves.read(self._connection)

    def follow_move(self, move: RecordedMove, *, now: float) -> MoveResult:
        with self._transaction():
            result = webhook_moves.follow(self._connection, move, now)
        self._latest_move = max(self._latest_move, result.number)
        self._webhooks_moved()
        return result

    def move_orphans(self, old: Address, new: Address, *, now: float) -> int:
        with self._transaction():
            moved = webhook_moves.move_orphans(self._connection, old, new, now)
        self._moved_orphans = True
        self._webhooks_moved()
        return moved

    def _webhooks_moved(self) -> None:
        self._read_webhooks()
        self._forget_messages()
        self._early_answers = EarlyAnswers(self._messages, self._seq)

    # -- CrashNotes, not synced: they survive the end of the process

    def work_of(self, address: Address) -> str:  # noqa: ARG002 - there is one slot
        return _SLOT

    def count_start(self, work: str, *, now: float) -> CrashNote:
        with self._transaction(synced=False):
            note = work_starts.count_start(self._connection, work, now)
        self._started[work] = None
        self._latest_start = now
        self._slot_has_starts |= work == _SLOT
        return note

    def take_in_hand(self, work: str, item: bytes | None) -> None:
        with self._transaction(synced=False):
            work_starts.take_in_hand(self._connection, work, item, self._latest_start)

    def dead_letter_crashed(self, work: str, *, now: float) -> int:
        with self._transaction():
            dead = work_starts.dead_letter_crashed(self._connection, work, now)
        self._forget_messages()
        return dead

    def forget_starts(self) -> None:
        with self._transaction(synced=False):
            for work in self._started:
                work_starts.forget_start(self._connection, work)

    # -- MaintenanceSpool

    def _sync(self) -> bool:
        """Whether all transactions are on the disk. Without a descriptor, a later call syncs them.

        The transaction is committed, so the call that made it must not fail: it would be repeated.
        """
        if self._unsynced:
            try:
                sync_log(self._path, self._access)
            except SpoolStalled:
                return False
            self._unsynced = False
        return True

    def changed_by_others(self) -> bool:
        self._sync()
        seen, self._data_version = self._data_version, self._query("PRAGMA data_version")[0][0]
        if seen == self._data_version and not self._moved_orphans:
            return False
        self._moved_orphans = False
        self._read_webhooks()
        self._forget_messages()  # a replay changes the messages of deliveries
        return True

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        changes = self._connection.total_changes
        with self._transaction(synced=False):  # if a power cut loses it, the same rows are removed again
            remove_oldest_positions(self._connection)
            work_starts.forget_old(self._connection, now - keep.seconds)
            more = settle.remove_expired(self._connection, now=now, keep=keep, limit=limit)
        self._unsynced |= self._connection.total_changes != changes
        return more

    def record_activity(self, rows: Sequence[MinuteActivity]) -> None:
        with self._transaction(synced=False):
            activity_ring.store_minute(self._connection, rows)
        self._unsynced = True

    def tally(self) -> dict[str, int]:
        with map_damage(self._path):
            return enqueue.read_tally(self._connection)

    def close(self) -> None:
        self._sync()
        self._connection.close()
        self._lock.release()
