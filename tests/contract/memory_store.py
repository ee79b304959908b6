"""The spools in memory as a store: the operators' ports, and the registration as memory://NAME."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count, repeat

import msgspec

from contract.memory_move import MemoryMoveSource, MemoryMoveTarget
from contract.memory_spool import RECORDS, Data, MemorySpool, Row
from hookline.errors import SpoolUnusable, WrongUse
from hookline.model import Address
from hookline.observe.snapshot import (
    Checkpoint,
    CrashStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    WebhookStatus,
)
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, Delivery, add_replay, parse_history
from hookline.relay.sources.source import Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.admin import (
    FORGOTTEN,
    Backlog,
    Count,
    Filter,
    ForgetCount,
    ForgetResult,
    OnProgress,
    OnSearched,
    Trace,
    TracedDelivery,
    TracedLine,
)
from hookline.relay.spool.backlog_ages import AGE_BOUNDS, age_groups
from hookline.relay.spool.leases import SharedSpool, not_shared
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_values import EndpointState, State

SPOOLS: dict[str, Data] = {}


class MemoryStore:
    """Implements factory.SpoolStore. A test can replace the types of its ports by faulty ones."""

    shared = False

    def __init__(self, location: str) -> None:
        self.name = location
        self.spool_type = MemorySpool
        self.control_type = MemoryControl
        self.letters_type = MemoryDeadLetters

    def _data(self) -> Data:
        if self.name not in SPOOLS:
            raise SpoolUnusable(f"spool not found: {self.name}", hint="start a relay")
        return SPOOLS[self.name]

    def exists(self) -> bool:
        return self.name in SPOOLS

    def create_if_missing(self, *, since: str) -> None:
        SPOOLS.setdefault(self.name, Data())

    def create(self, *, since: str = "", slots: int | None = None, lease_seconds: float | None = None) -> None:
        if self.exists():
            raise SpoolUnusable(f"the spool {self.name} already exists")
        self.create_if_missing(since=since)

    def migrate(self, *, since: str) -> tuple[int, int]:
        with self._held(since):
            return 1, 1

    def open(self, *, since: str) -> MemorySpool:
        self.create_if_missing(since=since)
        return self.spool_type(self._hold(since))

    def _hold(self, since: str) -> Data:
        data = self._data()
        if data.holder is not None:
            raise SpoolUnusable(f"the spool {self.name} is held by {data.holder}", hint="stop that relay first")
        data.holder = f"process {os.getpid()} since {since}"
        return data

    @contextmanager
    def move_source(self, *, since: str) -> Iterator[MemoryMoveSource]:
        with self._held(since) as data:
            yield MemoryMoveSource(data)

    @contextmanager
    def move_target(self, *, since: str) -> Iterator[MemoryMoveTarget]:
        with self._held(since) as data:
            yield MemoryMoveTarget(data)

    @contextmanager
    def _held(self, since: str) -> Iterator[Data]:
        data = self._hold(since)
        try:
            yield data
        finally:
            data.holder = None

    def join(self, *, kind: str, name: str) -> SharedSpool:
        raise not_shared(self.name)

    def status_publisher(self) -> MemoryPublisher:
        return MemoryPublisher(self._data())

    def dead_letters(self) -> AbstractContextManager[MemoryDeadLetters]:
        return nullcontext(self.letters_type(self._data()))

    def dead_letter_queries(self) -> AbstractContextManager[MemoryDeadLetters]:
        return self.dead_letters()

    def dead_letter_import(self) -> AbstractContextManager[MemoryDeadLetters]:
        return self.dead_letters()

    def webhook_control(self) -> AbstractContextManager[MemoryControl]:
        return nullcontext(self.control_type(self._data()))

    def recipient_removal(self) -> AbstractContextManager[MemoryRemoval]:
        return nullcontext(MemoryRemoval(self._data()))

    def trace_search(self) -> MemoryStore:
        return self

    def statistics(self) -> MemoryStore:
        return self

    def dry_run(self) -> MemoryStore:
        return self

    # -- DryRunSpool

    def positions(self) -> list[Position]:
        return list(SPOOLS.get(self.name, Data()).positions)

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        data = SPOOLS.get(self.name, Data())
        return {one for one in ids if data.is_known(one, delivered_after)}

    # -- SpoolStatistics

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        if (data := SPOOLS.get(self.name)) is None:
            return None
        return {address: Backlog(len(data.pending(address)), len(_dead(data, address))) for address in data.endpoints}

    def endpoint_states(self) -> Mapping[Address, EndpointState]:
        return {address: one.state for address, one in SPOOLS.get(self.name, Data()).endpoints.items()}

    def activity(self, since_minute: int) -> list[MinuteActivity]:
        rows = [one for one in SPOOLS.get(self.name, Data()).activity if one.minute >= since_minute]
        return sorted(rows, key=lambda one: (one.minute, one.address is None, one.address or ("", "")))

    def processes(self) -> SpoolProcesses:
        data = SPOOLS.get(self.name, Data())
        own = [] if data.holder is None else [ProcessStatus(holder=data.holder, status=data.status)]
        return SpoolProcesses(processes=own)

    def spool_status(self, *, now: float) -> SpoolStatus:
        data = self._data()
        records = [row.settled for row in data.rows.values() if row.state in RECORDS]
        return SpoolStatus(
            at=now,
            tally={what: n for what, n in data.tally.items() if what != "records"} | {"pending": len(data.pending())},
            webhooks=[self._facts(address, now) for address in sorted(data.endpoints, key=str)],
            checkpoints=[Checkpoint(name=one.name, line=one.line, offset=one.offset, at=one.at)
                         for one in sorted(data.positions, key=lambda one: -one.at)],
            lines=len(data.lines) - len(data.replayed),
            records=len(records),
            oldest_record=max(0.0, now - min(records)) if records else None,
            crashes=[CrashStatus(work=work, starts=one.starts)
                     for work, one in sorted(data.works.items()) if one.starts],
        )  # fmt: skip

    def _facts(self, address: Address, now: float) -> WebhookStatus:
        data = self._data()
        one, pending = data.endpoints[address], data.pending(address)
        ages = [max(0.0, one.clock(now) - row.since) for row in pending]
        counts = Counter(bisect_right(AGE_BOUNDS, age) - 1 for age in ages)
        dues = [row.due for row in pending if row.due is not None]
        moved = [move.old if move.new == address else None for move in data.moves if address in (move.old, move.new)]
        return WebhookStatus(
            moved_from=str(moved[-1]) if moved and moved[-1] else None,
            webhook=str(address), pending=len(pending), oldest=max(ages, default=None),
            dead=len(_dead(data, address)), disabled=one.state.disabled, paused=one.state.paused,
            gone_reason=one.state.gone_reason, not_before=one.state.not_before, last_due=max(dues, default=None),
            ages=age_groups(counts, max(ages)) if ages else (),
        )  # fmt: skip

    # -- TraceSearch

    def trace(self, what: str) -> Trace:
        data, digits = self._data(), what.lower()
        rows = sorted(data.rows.values(), key=lambda row: row.seq)
        found = [row for row in rows if row.delivery.request_id == what]
        if not found and len(digits) >= 8:
            found = [row for row in rows if row.delivery.id.hex().startswith(digits)]
        found = found or [row for row in rows if row.delivery.execution_id == what]
        text = what.encode("utf-8", "replace")
        escaped = what.encode("ascii", "backslashreplace")
        lines = [
            TracedLine(f"line-{n}", one.at, one.source, one.line, one.reason, one.data, n in data.replayed)
            for n, one in data.lines.items()
            if text in one.data or escaped.replace(b"\\x", b"\\u00") in one.data
        ]
        return Trace([self._traced(row) for row in found], lines)

    def _traced(self, row: Row) -> TracedDelivery:
        data, one = self._data(), row.delivery
        endpoint = data.endpoints[row.address]
        earlier = [each for each in data.pending() if each.order_key == row.order_key and each.seq < row.seq]
        blocked = earlier and row.order_key is not None and row.state is State.PENDING
        return TracedDelivery(
            id=one.id.hex(), webhook=str(row.address), channel=one.channel, status=one.status, detail=one.detail,
            request_id=one.request_id, source=row.source, line=row.line, read=row.since + endpoint.idle,
            exact=not endpoint.idle and endpoint.held is None, event_time=one.time, state=row.state,
            attempts=row.attempts, due=row.due, settled=None if row.state is State.PENDING else row.settled,
            reason=row.reason, http=row.http, history=parse_history(row.history), body=row.body,
            disabled=endpoint.state.disabled, paused=endpoint.state.paused,
            not_before=endpoint.state.not_before, predecessor=earlier[0].delivery.id.hex() if blocked else None,
        )  # fmt: skip


class MemoryPublisher:
    def __init__(self, data: Data) -> None:
        self._data = data
        self._over = False

    def publish(self, facts: RelayStatus) -> None:
        if not self._over:
            self._data.status = facts

    def withdraw(self) -> None:
        self._over, self._data.status = True, None


class MemoryControl:
    def __init__(self, data: Data) -> None:
        self._data = data

    def pause(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, now, now)

    def resume(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, None, now)

    def _set_paused(self, address: Address, paused: float | None, now: float) -> bool:
        self._data.writes += 1
        one = self._data.endpoints[address]
        if (one.state.paused is None) is (paused is None):
            return False
        one.change(now, paused=paused)
        return True

    def retry_now(self, address: Address, *, now: float) -> int:
        self._data.writes += 1
        one = self._data.endpoints[address]
        one.change(now, retry_now_at=now, gone_reason=None, gone_configuration=None, not_before=None)
        rows = [row for row in self._data.pending(address) if row.due is not None and row.due > now]
        for row in rows:
            row.due = now
        return len(rows)


class MemoryRemoval:
    """It has no files, so nothing is left to overwrite."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def count(self, recipient: Recipient, *, on_searched: OnSearched | None = None) -> ForgetResult:
        return self._result(self._found(recipient, on_searched), self._lines(recipient))

    def forget(self, recipient: Recipient, *, now: float, on_searched: OnSearched | None = None) -> ForgetResult:
        rows, lines = self._found(recipient, on_searched), self._lines(recipient)
        result = self._result(rows, lines)
        for row in rows:
            one = row.delivery
            if row.state is State.PENDING:
                self._data.tally["dead"] += 1
                self._data.endpoints[row.address].change(now, forgotten_at=now)
            if row.state not in RECORDS:
                self._data.tally["records"] += 1
                row.finish(State.DISCARDED, now, FORGOTTEN)
                row.order_key, row.history = None, None
                row.delivery = msgspec.structs.replace(one, detail=None)
            elif recipient.is_in(one.detail):
                row.delivery = msgspec.structs.replace(one, detail=None)
        for n in lines:
            del self._data.lines[n]
            self._data.replayed.discard(n)
        self._data.writes += 1
        return result

    def overwrite(self) -> tuple[str, ...]:
        return ()

    def _found(self, recipient: Recipient, on_searched: OnSearched | None) -> list[Row]:
        if on_searched is not None:
            on_searched(len(self._data.rows))
        return [
            row
            for row in self._data.rows.values()
            if recipient.is_in(row.body) or recipient.is_in(row.delivery.detail) or recipient.is_in(row.history)
        ]

    def _lines(self, recipient: Recipient) -> list[int]:
        return [n for n, one in self._data.lines.items() if recipient.is_in(one.data)]

    def _result(self, rows: Sequence[Row], lines: Sequence[int]) -> ForgetResult:
        pending = [row for row in rows if row.state is State.PENDING]
        dead = sum(row.state is State.DEAD for row in rows)
        count = ForgetCount(
            pending=len(pending), dead=dead, records=len(rows) - len(pending) - dead, lines=len(lines)
        )
        return ForgetResult(count=count, pending_ids=frozenset(row.delivery.id for row in pending))


class MemoryDeadLetters:
    def __init__(self, data: Data) -> None:
        self._data = data

    def newest(self, chosen: Filter, *, limit: int) -> Iterator[DeadLetter]:
        deliveries, lines = self._chosen(chosen)
        letters: list[DeadLetter] = [*(_letter(row) for row in deliveries), *lines]
        return iter(sorted(letters, key=lambda one: one.at, reverse=True)[:limit])

    def all_in_order(self, chosen: Filter) -> Iterator[DeadLetter]:
        deliveries, lines = self._chosen(chosen)
        return iter([*(_letter(row) for row in deliveries), *lines])

    def count(self, chosen: Filter) -> Count:
        deliveries, lines = self._chosen(chosen)
        return Count(len(deliveries), len(lines))

    def count_truncated(self, chosen: Filter) -> int:
        return sum(1 for line in self._chosen(chosen)[1] if line.length > len(line.data))

    def replay(
        self, chosen: Filter, *, now: float, rate: float | None = None, on_progress: OnProgress | None = None
    ) -> Count:
        deliveries, lines = self._chosen(chosen)
        schedules: dict[Address, Iterator[float]] = {}
        again = [row for row in deliveries if add_replay(row.history, now) is not None]
        for row in again:
            if row.address not in schedules:
                schedules[row.address] = self._due_times(row.address, now, rate)
            row.due = next(schedules[row.address])
            row.since = self._data.endpoints[row.address].clock(now) + row.due - now
            row.state, row.tries, row.refusals, row.order_key = State.PENDING, 0, 0, None
            row.history = add_replay(row.history, now)
        whole = {line.n for line in lines if line.length == len(line.data)}
        self._data.replayed |= whole
        self._data.tally["replayed"] += len(again)
        return self._done(Count(len(again), len(whole)), on_progress)

    def _due_times(self, address: Address, now: float, rate: float | None) -> Iterator[float]:
        if rate is None:
            return repeat(now)
        waiting = [row.due for row in self._data.pending(address) if row.due is not None and row.tries == 0]
        last = max((due for due in waiting if due > now - 1 / rate), default=now - 1 / rate)
        return (last + number / rate for number in count(1))

    def discard(self, chosen: Filter, *, now: float, on_progress: OnProgress | None = None) -> Count:
        deliveries, lines = self._chosen(chosen)
        for row in deliveries:
            row.finish(State.DISCARDED, now, row.reason)
        for line in lines:
            del self._data.lines[line.n]
        self._data.tally["records"] += len(deliveries)
        return self._done(Count(len(deliveries), len(lines)), on_progress)

    def _done(self, count: Count, on_progress: OnProgress | None) -> Count:
        self._data.writes += 1
        if on_progress is not None:
            on_progress(count)
        return count

    def add(self, letters: Sequence[DeadLetter]) -> Count:
        deliveries = {one.id: one for one in reversed(letters) if isinstance(one, DeadDelivery)}
        rows = [one for one in reversed(deliveries.values()) if self._data.row_of(one.id) is None]
        for one in rows:
            seq = min(self._data.rows, default=0) - 1
            self._data.endpoints[one.webhook]
            self._data.rows[seq] = Row(
                seq=seq, source=one.source, line=one.line, since=one.at, order_key=None, body=one.body,
                state=State.DEAD, attempts=one.attempts, settled=one.at, reason=one.reason, http=one.http,
                history=one.history,
                delivery=Delivery(
                    id=one.id, address=one.webhook, order_key=None, body=one.body, request_id=one.request_id,
                    channel=one.channel, status=one.status, time=one.event_time, detail=one.detail,
                ),
            )  # fmt: skip
        lines = [one for one in letters if isinstance(one, DeadLine) and self._data.add_line(one)]
        return self._done(Count(len(rows), len(lines)), None)

    def _chosen(self, chosen: Filter) -> tuple[list[Row], list[DeadLine]]:
        ids = [self._named(one) for one in chosen.ids]
        rows = sorted(_dead(self._data, chosen.webhook), key=lambda row: (str(row.address), row.settled, row.seq))
        lines = [line for n, line in sorted(self._data.lines.items()) if n not in self._data.replayed]
        return (
            [row for row in rows if _fits(_letter(row), chosen) and (not ids or row.delivery.id in ids)],
            [line for line in lines if _fits(line, chosen) and (not ids or f"line-{line.n}" in ids)],
        )

    def _named(self, identity: str) -> bytes | str:
        found: list[bytes | str] = [
            row.delivery.id for row in _dead(self._data) if row.delivery.id.hex().startswith(identity.lower())
        ]
        found += [f"line-{n}" for n in self._data.lines if f"line-{n}" == identity]
        if len(found) != 1 or len(identity) < 6:
            raise WrongUse(f"{len(found)} dead letters have the id {identity!r}", hint="list them")
        return found[0]


def _dead(data: Data, address: Address | None = None) -> list[Row]:
    return [row for row in data.rows.values() if row.state is State.DEAD and address in (None, row.address)]


def _fits(letter: DeadLetter, chosen: Filter) -> bool:
    if isinstance(letter, DeadLine):
        if chosen.deliveries_only:
            return False
    elif any(
        wanted not in (None, given)
        for wanted, given in (
            (chosen.channel, letter.channel),
            (chosen.status, letter.status),
            (chosen.http, letter.http),
        )
    ):
        return False
    return (
        (chosen.reason is None or chosen.reason in letter.reason)
        and (chosen.since is None or letter.at >= chosen.since)
        and (chosen.until is None or letter.at < chosen.until)
    )


def _letter(row: Row) -> DeadDelivery:
    one = row.delivery
    return DeadDelivery(
        id=one.id, at=row.settled, reason=row.reason or "", http=row.http, attempts=row.attempts, history=row.history,
        webhook=row.address, request_id=one.request_id, channel=one.channel, status=one.status,
        event_time=one.time, detail=one.detail, source=row.source, line=row.line, body=row.body or b"",
    )  # fmt: skip
