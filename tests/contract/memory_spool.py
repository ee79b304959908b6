"""A spool in memory: the data, and the relay's ports on it. The operators' ports are in memory_store.py.

It serves tests only. It shows that the ports are enough for a second store, and it is a model for the others.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from hookline.errors import MessagesKnown, MovesUnknown, PositionMoved
from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.delivery_record import DeadLine, Delivery, Line
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, Position
from hookline.relay.spool.activity import MAX_MINUTES_AHEAD, MinuteActivity, combined, oldest_minute
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.crash_notes import CRASHED, CrashNote, slot_work
from hookline.relay.spool.spool_values import (
    DequeueAnswer,
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

RECORDS = (State.DELIVERED, State.DISCARDED)


@dataclass(kw_only=True)
class Row:
    """A delivery. `since` is by the webhook's own clock."""

    seq: int
    delivery: Delivery
    source: str
    line: int
    since: float
    order_key: int | None
    body: bytes | None
    state: State = State.PENDING
    due: float | None = None
    attempts: int = 0
    tries: int = 0
    refusals: int = 0
    settled: float = 0.0
    reason: str | None = None
    http: int | None = None
    history: str | None = None

    @property
    def address(self) -> Address:
        return self.delivery.address

    def give(self, address: Address, difference: float) -> None:
        """`difference` is that of the clocks of the new and the old webhook."""
        self.delivery = msgspec.structs.replace(self.delivery, address=address)
        self.since += difference

    def finish(self, state: State, now: float, reason: str | None = None) -> None:
        self.state, self.settled, self.reason, self.due = state, now, reason, None
        if state in RECORDS:
            self.body = None


@dataclass
class Endpoint:
    """A webhook's state, and its clock, which stops while the webhook is disabled or paused."""

    state: EndpointState = field(default_factory=EndpointState)
    held: float | None = None
    idle: float = 0.0

    def clock(self, now: float) -> float:
        return (now if self.held is None else min(now, self.held)) - self.idle

    def change(self, now: float, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        holding = self.state.disabled or self.state.paused is not None
        if holding and self.held is None:
            self.held = now
        elif not holding and self.held is not None:
            self.idle, self.held = self.idle + max(0.0, now - self.held), None


@dataclass
class Work:
    """The note of a work."""

    starts: int = 0
    at: float = 0.0
    in_hand: bytes | None = None
    items: set[bytes] = field(default_factory=set)


class Endpoints(dict[Address, Endpoint]):
    def __missing__(self, address: Address) -> Endpoint:
        return self.setdefault(address, Endpoint())


@dataclass
class Data:
    """The data that outlives a relay. `writes` counts the changes by operators."""

    rows: dict[int, Row] = field(default_factory=dict)
    lines: dict[int, DeadLine] = field(default_factory=dict)
    replayed: set[int] = field(default_factory=set)
    tally: Counter[str] = field(default_factory=Counter)
    endpoints: Endpoints = field(default_factory=Endpoints)
    positions: list[Position] = field(default_factory=list)
    messages: dict[bytes, set[int]] = field(default_factory=dict)
    works: dict[str, Work] = field(default_factory=dict)
    activity: list[MinuteActivity] = field(default_factory=list)
    moves: list[RecordedMove] = field(default_factory=list)
    writes: int = 0
    holder: str | None = None
    status: RelayStatus | None = None

    def pending(self, address: Address | None = None) -> list[Row]:
        rows = sorted(self.rows.values(), key=lambda row: row.seq)
        return [row for row in rows if row.state is State.PENDING and address in (None, row.address)]

    def follow_move(self, move: RecordedMove, *, now: float) -> MoveResult:
        if move in self.moves:
            return MoveResult(self.moves.index(move) + 1, 0)
        self.moves.append(move)
        if (old := self.endpoints.pop(move.old, None)) is None:
            return MoveResult(len(self.moves), 0)
        if (other := self.endpoints.get(move.new)) is not None:
            for row in [row for row in self.rows.values() if row.address == move.new]:
                row.give(move.new, old.clock(now) - other.clock(now))
            times = [one.state.retry_now_at for one in (old, other)]
            old.change(
                now, paused=other.state.paused if old.state.paused is None else old.state.paused,
                retry_now_at=max((at for at in times if at is not None), default=None),
            )  # fmt: skip
        self.endpoints[move.new] = old
        pending = self.pending(move.old)
        for row in [row for row in self.rows.values() if row.address == move.old]:
            row.give(move.new, 0.0)
        return MoveResult(len(self.moves), len(pending))

    def row_of(self, identity: bytes) -> Row | None:
        return next((row for row in self.rows.values() if row.delivery.id == identity), None)

    def is_known(self, identity: bytes, delivered_after: float) -> bool:
        row = self.row_of(identity)
        return row is not None and (row.state not in RECORDS or row.settled > delivered_after)

    def require_followed(self, new: Position) -> None:
        stored = next((one.offset for one in self.positions if one.key == new.key), 0)
        if new.follows not in (None, stored):
            raise PositionMoved(f"the position is {stored}, not {new.follows}")

    def move(self, new: Position) -> None:
        """Replace the position of the same content, or that of the same file from before its first line."""
        file = (new.device, new.inode)
        self.positions = [
            one for one in self.positions if not (one.key == new.key if one.key else (one.device, one.inode) == file)
        ]
        self.positions.append(new)

    def add_line(self, line: DeadLine) -> bool:
        """Whether it is new."""
        key = (line.source, line.line, line.part, line.sha256)
        if any(key == (one.source, one.line, one.part, one.sha256) for one in self.lines.values()):
            return False
        number = max(self.lines, default=0) + 1
        self.lines[number] = msgspec.structs.replace(line, n=number)
        return True


class MemorySpool:
    """Implements spool.Spool."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._seen = data.writes
        self._last = max([0, *data.rows])
        self._started: set[str] = set()
        self._latest_start = 0.0

    # -- IngestSpool

    def positions(self) -> list[Position]:
        return list(self._data.positions)

    def replayed_lines(self, *, limit: int) -> list[ReplayedLine]:
        found, room = [], MAX_BYTES_PER_BATCH
        for n in sorted(self._data.replayed)[:limit]:
            one = self._data.lines[n]
            found.append(ReplayedLine(n, one.source, Line(one.line, one.data, one.length), one.part))
            if (room := room - len(one.data)) <= 0:
                break
        return found

    def enqueue(
        self, batch: IngestBatch, *, now: float, dedupe_window: float, requests: Sequence[DequeueRequest] = ()
    ) -> Enqueued:
        data, tally = self._data, self._data.tally
        if batch.position is not None:
            data.require_followed(batch.position)
        if batch.deliveries and batch.moves < len(data.moves):
            raise MovesUnknown(batch.source)
        self._remember(batch)
        possible = [one for one in requests if all(row.seq <= one.after for row in data.pending(one.address))]
        for n in batch.replaced_lines:
            del data.lines[n]
            data.replayed.remove(n)
        for taken in batch.deliveries:
            one = taken.delivery
            if data.is_known(one.id, now - dedupe_window if dedupe_window else math.inf):
                tally["duplicates"] += 1
                continue
            if (before := data.row_of(one.id)) is not None:
                del data.rows[before.seq]
                tally["records"] -= 1
            self._last += 1
            data.rows[self._last] = Row(
                seq=self._last, delivery=one, source=batch.source, line=taken.line, order_key=one.order_key,
                since=data.endpoints[one.address].clock(now), body=one.body,
                attempts=before.attempts if before else 0, history=before.history if before else None,
            )  # fmt: skip
        for refused in batch.rejected:
            line = refused.line
            new = data.add_line(DeadLine(
                n=0, at=now, reason=refused.reason, source=batch.source, line=line.number, part=refused.part,
                data=line.data, length=line.length, sha256=line.sha256 or hashlib.sha256(line.data).digest(),
            ))  # fmt: skip
            tally["rejected" if new else "duplicates"] += 1
        tally.update({"read": batch.read, "replayed": len(batch.replaced_lines), "duplicates": batch.redelivered})
        tally.update({f"skipped:{reason}": n for reason, n in batch.skipped.items()})
        if (position := batch.position) is not None:
            data.move(msgspec.structs.replace(position, at=now, follows=None))
        if batch.progress_of is not None:
            data.works.pop(batch.progress_of, None)
        answers = [DequeueAnswer(one, *self._new(one)) for one in possible]
        return Enqueued(len(data.pending()), answers)

    def _remember(self, batch: IngestBatch) -> None:
        if (given := batch.messages) is not None:
            known = self._data.messages.setdefault(given.stream, set())
            if found := known & set(given.numbers):
                raise MessagesKnown(frozenset(found))
            self._data.messages[given.stream] = {one for one in known | set(given.numbers) if one > given.floor}

    # -- DequeueSpool

    def dequeue_new(self, wanted: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        return [self._new(one) for one in wanted]

    def _new(self, wanted: DequeueRequest) -> tuple[list[QueuedDelivery], int]:
        first: dict[int | None, int] = {}
        for row in self._data.pending():
            first.setdefault(row.order_key, row.seq)
        rows = [
            row
            for row in self._data.pending(wanted.address)
            if row.due is None
            and row.seq > wanted.after
            and (not wanted.ordered or row.order_key is None or first[row.order_key] == row.seq)
        ][: wanted.limit]
        return self._waiting(rows), rows[-1].seq if len(rows) == wanted.limit else self._last

    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        rows = [row for row in self._retries(address) if (row.due or 0.0) <= now and row.seq not in without]
        return self._waiting(rows[:limit])

    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        first: dict[int, Row] = {}
        for row in self._data.pending():
            if row.order_key is not None:
                first.setdefault(row.order_key, row)
        rows = self._data.pending(request.address)
        if not rows:
            return None
        place = rows[0].seq + int((rows[-1].seq - rows[0].seq) * request.place)
        near = rows[::-1] if request.place >= 1.0 else [row for row in rows if row.seq >= place]
        heads = [row if row.order_key is None or not request.ordered else first[row.order_key] for row in near]
        fit = [
            row
            for row in heads
            if (row.due is None or row.due <= now)
            and row.seq not in without
            and (request.other_than is None or row.order_key != request.other_than)
        ]
        if request.place >= 1.0:
            fit.sort(key=lambda row: row.seq, reverse=True)
        fit.sort(key=lambda row: row.due is not None)
        return next(iter(self._waiting(fit[:1])), None)

    def next_due(self, address: Address, *, after: float) -> float | None:
        return next((row.due for row in self._retries(address) if (row.due or 0.0) > after), None)

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        found = {address: self.next_due(address, after=0.0) for address in addresses}
        return {address: due for address, due in found.items() if due is not None}

    def pending(self) -> set[Address]:
        return {row.address for row in self._data.pending()}

    def _retries(self, address: Address) -> list[Row]:
        return sorted(
            (row for row in self._data.pending(address) if row.due is not None), key=lambda row: row.due or 0
        )

    def _waiting(self, rows: Sequence[Row]) -> list[QueuedDelivery]:
        return [
            QueuedDelivery(
                seq=row.seq, id=row.delivery.id, address=row.address, due=row.due, order_key=row.order_key,
                attempts=row.attempts, tries=row.tries, refusals=row.refusals,
                since=row.since + self._data.endpoints[row.address].idle, event_time=row.delivery.time,
                history=row.history, body=row.body or b"", request_id=row.delivery.request_id,
            )
            for row in rows
        ]  # fmt: skip

    # -- SettleSpool

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        settled: dict[int, int] = {}
        for one in settlements:
            self._data.tally["attempts"] += one.posts
            row = self._data.rows.get(one.seq)
            if row is None or row.state is not State.PENDING or row.address != one.address:
                continue
            row.attempts, row.tries, row.refusals = one.attempts, one.tries, one.refusals
            row.history, row.http, row.reason, row.due = one.history, one.http, one.reason, one.due
            if one.state is not State.PENDING:
                self._finish([row], one.state, now, one.reason)
                if row.order_key is not None:
                    settled[row.order_key] = min(row.seq, settled.get(row.order_key, row.seq))
        for one in settlements:
            self._end_count(self.work_of(one.address))
        first: dict[int, Row] = {}
        for row in self._data.pending():
            if row.order_key is not None and row.order_key in settled:
                first.setdefault(row.order_key, row)
        return self._waiting([row for key, row in first.items() if row.due is None and row.seq > settled[key]])

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        rows = [row for row in self._data.pending(address) if row.seq not in without][:limit]
        return self._finish(rows, State.DEAD, now, reason)

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        own = self._data.endpoints.get(address, Endpoint()).clock(now) - (now - before)
        old = [row for row in self._data.pending(address) if row.since < own and row.seq not in without]
        return self._finish(sorted(old, key=lambda row: row.since)[:limit], State.DEAD, now, "expired")

    def _finish(self, rows: Sequence[Row], state: State, now: float, reason: str | None) -> int:
        for row in rows:
            row.finish(state, now, reason)
        self._data.tally["dead" if state is State.DEAD else "delivered"] += len(rows)
        self._data.tally["records"] += len(rows) if state is State.DELIVERED else 0
        return len(rows)

    # -- EndpointStates

    def endpoint_states(self) -> dict[Address, EndpointState]:
        return {address: one.state for address, one in self._data.endpoints.items()}

    def set_disabled(self, address: Address, *, disabled: bool, now: float) -> None:
        self._data.endpoints[address].change(now, disabled=disabled)

    def save_endpoint_state(
        self, address: Address, *, gone_reason: str | None, gone_configuration: str | None, not_before: float | None
    ) -> None:
        one = self._data.endpoints[address]
        one.state = msgspec.structs.replace(
            one.state, gone_reason=gone_reason, gone_configuration=gone_configuration, not_before=not_before
        )

    # -- AddressMoves

    def followed_moves(self) -> FollowedMoves:
        return FollowedMoves(len(self._data.moves), list(self._data.moves))

    def follow_move(self, move: RecordedMove, *, now: float) -> MoveResult:
        return self._data.follow_move(move, now=now)

    def move_orphans(self, old: Address, new: Address, *, now: float) -> int:
        rows, clocks = self._data.pending(old), self._data.endpoints
        for row in rows:
            row.give(new, clocks[new].clock(now) - clocks[old].clock(now))
            row.due = now if row.due is None else row.due
        self._data.writes += 1
        return len(rows)

    # -- CrashNotes

    def work_of(self, address: Address) -> str:
        return slot_work(0)

    def count_start(self, work: str, *, now: float) -> CrashNote:
        one = self._data.works.setdefault(work, Work())
        if one.in_hand is not None:
            one.items.add(one.in_hand)
        note = CrashNote(one.starts, tuple(sorted(one.items)))
        one.starts, one.at, one.in_hand = one.starts + 1, now, None
        self._started.add(work)
        self._latest_start = now
        return note

    def take_in_hand(self, work: str, item: bytes | None) -> None:
        self._data.works.setdefault(work, Work(at=self._latest_start)).in_hand = item

    def dead_letter_crashed(self, work: str, *, now: float) -> int:
        one = self._data.works.get(work, Work())
        rows = [row for row in self._data.pending() if row.delivery.id in one.items]
        one.items.clear()
        return self._finish(rows, State.DEAD, now, CRASHED)

    def forget_starts(self) -> None:
        for work in self._started:
            if work in self._data.works:
                self._data.works[work].starts = max(0, self._data.works[work].starts - 1)

    def _end_count(self, work: str) -> None:
        if work in self._data.works:
            self._data.works[work].starts = 0

    # -- MaintenanceSpool

    def changed_by_others(self) -> bool:
        seen, self._seen = self._seen, self._data.writes
        return seen != self._seen

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        horizon = now - keep.seconds
        old = self._remove(lambda row: row.state in RECORDS and row.settled < horizon, limit)
        surplus = self._data.tally["records"] - old - keep.records
        over = self._remove(lambda row: row.state in RECORDS, min(limit - old, max(0, surplus)))
        self._data.tally["records"] -= old + over
        dead = self._remove(lambda row: row.state is State.DEAD and row.settled < horizon, limit)
        self._data.works = {work: one for work, one in self._data.works.items() if one.at >= horizon}
        lines = [n for n, line in self._data.lines.items() if line.at < horizon and n not in self._data.replayed]
        lines = sorted(lines, key=lambda n: self._data.lines[n].at)[:limit]
        for n in lines:
            del self._data.lines[n]
        return limit in (old + over, dead, len(lines))

    def _remove(self, fits: Callable[[Row], bool], limit: int) -> int:
        oldest = sorted(filter(fits, self._data.rows.values()), key=lambda row: row.settled)[:limit]
        for row in oldest:
            del self._data.rows[row.seq]
        return len(oldest)

    def make_due(self, address: Address, *, now: float, limit: int, after: float | None = None) -> int:
        known = self._data.endpoints.get(address)
        held = 0.0 if known is None else known.idle
        late = [
            row
            for row in self._data.pending(address)
            if row.due is not None
            and row.due > (now if after is None else after)
            and (after is None or row.due > row.since + held + 0.001)
        ]
        for row in sorted(late, key=lambda row: row.due or 0.0)[:limit]:
            row.due = now
        return min(len(late), limit)

    def record_activity(self, rows: Sequence[MinuteActivity]) -> None:
        minute = rows[0].minute
        known = [one for one in self._data.activity if one.minute == minute]
        others = [
            one
            for one in self._data.activity
            if one.minute != minute and oldest_minute(minute) <= one.minute <= minute + MAX_MINUTES_AHEAD
        ]
        self._data.activity = [*others, *combined(known, rows)]

    def tally(self) -> dict[str, int]:
        return {**self._data.tally, "pending": len(self._data.pending())}

    def close(self) -> None:
        self._data.holder = None
