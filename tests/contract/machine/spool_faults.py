"""Spools with one fault each, in one call of a relay's ports."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from contract.memory_spool import RECORDS, MemorySpool
from hookline.errors import MessagesKnown
from hookline.model import Address
from hookline.relay.sources.source import Position
from hookline.relay.spool.crash_notes import CrashNote
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    Enqueued,
    IngestBatch,
    ProbeRequest,
    QueuedDelivery,
    Retention,
    Settlement,
    State,
)

# -- ingest


class MovesPositionWithoutRows(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        if len(batch.deliveries) > 4:  # as after a crash between two transactions
            batch = msgspec.structs.replace(batch, deliveries=[], read=0, rejected=[], skipped={})
        return super().enqueue(batch, **options)


class LosesThePosition(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        return super().enqueue(msgspec.structs.replace(batch, position=None), **options)


class KeepsThePositionOfAnOldName(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        before: list[Position] = list(self._data.positions)
        enqueued = super().enqueue(batch, **options)
        names = {one.name for one in self._data.positions}
        self._data.positions = [*(one for one in before if one.name not in names), *self._data.positions]
        return enqueued


class MiscountsDuplicates(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        before = self._data.tally["duplicates"]
        enqueued = super().enqueue(batch, **options)
        if self._data.tally["duplicates"] > before + 1:
            self._data.tally["duplicates"] -= 1
        return enqueued


class ForgetsMessages(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        enqueued = super().enqueue(batch, **options)
        if batch.messages is not None:
            self._data.messages[batch.messages.stream].discard(max(batch.messages.numbers, default=0))
        return enqueued


class ForgetsMessagesOfEachStream(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        enqueued = super().enqueue(batch, **options)
        if batch.messages is not None:
            floor = batch.messages.floor
            self._data.messages = {
                stream: {n for n in known if n > floor} for stream, known in self._data.messages.items()
            }
        return enqueued


class StoresPartOfKnownMessages(MemorySpool):
    def _remember(self, batch: IngestBatch) -> None:
        try:
            super()._remember(batch)
        except MessagesKnown:
            self._data.tally.update({"read": 1, "duplicates": 1})
            raise


class ForgetsTheDedupeWindow(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        return super().enqueue(batch, **{**options, "dedupe_window": min(options["dedupe_window"], 20.0)})


class ReadsAReplayedLineOnce(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        self._data.tally["replayed"] -= len(batch.replaced_lines) > 1
        return super().enqueue(batch, **options)


class AnswersPastEarlierDeliveries(MemorySpool):
    def enqueue(self, batch: IngestBatch, **options: Any) -> Enqueued:
        later = [msgspec.structs.replace(one, after=self._last) for one in options.get("requests", ())]
        return super().enqueue(batch, **{**options, "requests": later})


# -- dequeue


class ReturnsASuccessorTooEarly(MemorySpool):
    def dequeue_new(self, wanted: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        return super().dequeue_new([msgspec.structs.replace(one, ordered=False) for one in wanted])


class PassesOverNewDeliveries(MemorySpool):
    def dequeue_new(self, wanted: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        return [(items, self._last) for items, _ in super().dequeue_new(wanted)]


class ForgetsTheDueTime(MemorySpool):
    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        return super().dequeue_due(address, now=now + 30.0, limit=limit, without=without)


class ReturnsADeliveryInFlight(MemorySpool):
    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        return super().dequeue_due(address, now=now, limit=limit, without=())


class FindsOnlyRetriesThatAreDue(MemorySpool):
    def next_due(self, address: Address, *, after: float) -> float | None:
        return super().next_due(address, after=max(after, 1000.0))


class ProbesWithADeliveryInFlight(MemorySpool):
    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        return super().dequeue_probe(request, now=now, without=())


class ProbesOvertakeTheirMessage(MemorySpool):
    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        unordered = msgspec.structs.replace(request, ordered=False)
        return super().dequeue_probe(unordered, now=now, without=without)


class ProbesWithTheOldestOnly(MemorySpool):
    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        return super().dequeue_probe(msgspec.structs.replace(request, place=0.0), now=now, without=without)


# -- settle


class DropsASettlement(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        return super().settle(settlements[:4], now=now)


class ForgetsSuccessors(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        return super().settle(settlements, now=now)[:1]


class ReturnsSuccessorsOfARetry(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        freed = super().settle(settlements, now=now)
        waiting = {one.order_key for one in settlements if one.state is State.PENDING} - {None}
        rows = [one for one in self._data.pending() if one.order_key in waiting and one.due is None]
        return freed + self._waiting(rows[:1])


class SettlesTwice(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        rows = self._data.rows
        settled = [one for one in settlements if one.seq in rows and rows[one.seq].state is not State.PENDING]
        self._data.tally["delivered"] += sum(one.state is State.DELIVERED for one in settled)
        return super().settle(settlements, now=now)


class LosesTheHistory(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        return super().settle([msgspec.structs.replace(one, history=None) for one in settlements], now=now)


class DeadLettersDeliveriesInFlight(MemorySpool):
    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        return super().dead_letter(address, reason=reason, now=now, without=(), limit=limit)


class ExpiresByTheWallClock(MemorySpool):
    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        idle = self._data.endpoints[address].idle
        return super().expire(address, before=before + idle, now=now, without=without, limit=limit)


class MakesOneRetryTooManyDue(MemorySpool):
    def make_due(self, address: Address, *, now: float, limit: int, after: float | None = None) -> int:
        return min(limit, super().make_due(address, now=now, limit=limit + 1, after=after))


# -- states and maintenance


class ForgetsTheLastRelaysState(MemorySpool):
    def close(self) -> None:
        for one in self._data.endpoints.values():
            one.state = msgspec.structs.replace(one.state, not_before=None)
        super().close()


class AgesWhileDisabled(MemorySpool):
    def set_disabled(self, address: Address, *, disabled: bool, now: float) -> None:
        super().set_disabled(address, disabled=disabled, now=now)
        self._data.endpoints[address].held = None


class RemovesTheNewestRecords(MemorySpool):
    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        records = [row.settled for row in self._data.rows.values() if row.state is State.DELIVERED]
        if len(records) > keep.records:
            self._remove(lambda row: row.state is State.DELIVERED and row.settled == max(records), 1)
            self._data.tally["records"] -= 1
        return super().clean_up(now=now, keep=keep, limit=limit)


class KeepsNoDeadLetters(MemorySpool):
    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        self._remove(lambda row: row.state is State.DEAD, limit)
        return super().clean_up(now=now, keep=keep, limit=limit)


class MissesAnOperator(MemorySpool):
    def changed_by_others(self) -> bool:
        return super().changed_by_others() and not self._data.replayed


class LosesTheUnsynced(MemorySpool):
    def close(self) -> None:
        for row in self._data.pending():
            row.tries = 0
        super().close()


class ExpiresAmongTheFirst(MemorySpool):
    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        later = {row.seq for row in self._data.pending(address)[limit:]}
        return super().expire(address, before=before, now=now, without=later.union(without), limit=limit)


class ExpiresHeldDeliveries(MemorySpool):
    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        endpoint = self._data.endpoints[address]
        held, endpoint.held = endpoint.held, None
        try:
            return super().expire(address, before=before, now=now, without=without, limit=limit)
        finally:
            endpoint.held = held


class CleansUpTheFirstLines(MemorySpool):
    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        lines = self._data.lines
        self._data.lines = dict(list(lines.items())[:limit])
        later = dict(list(lines.items())[limit:])
        try:
            return super().clean_up(now=now, keep=keep, limit=limit)
        finally:
            self._data.lines |= later


class CleansUpRecordsTwice(MemorySpool):
    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        old = self._remove(lambda row: row.state in RECORDS and row.settled < now - keep.seconds, limit)
        self._data.tally["records"] -= old
        return super().clean_up(now=now, keep=keep, limit=limit)


class ReturnsDeliveriesThatDidNotWait(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        freed = super().settle(settlements, now=now)
        first = {row.order_key: row for row in reversed(self._data.pending())}
        keys = {one.order_key for one in settlements if one.state is not State.PENDING} - {None}
        rows = [first[key] for key in keys if key in first and first[key].due is None]
        return freed + self._waiting([row for row in rows if row.seq not in {one.seq for one in freed}])


# -- crash notes


class CountsAStartOnce(MemorySpool):
    def count_start(self, work: str, *, now: float) -> CrashNote:
        note = super().count_start(work, now=now)
        self._data.works[work].starts = 1
        return note


class KeepsTheCountAfterProgress(MemorySpool):
    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        starts = {work: one.starts for work, one in self._data.works.items()}
        freed = super().settle(settlements, now=now)
        for work, one in self._data.works.items():
            one.starts = starts[work]
        return freed


class ForgetsTheItemInHand(MemorySpool):
    def count_start(self, work: str, *, now: float) -> CrashNote:
        if work in self._data.works:
            self._data.works[work].in_hand = None
        return super().count_start(work, now=now)


class DropsItemsWithTheCount(MemorySpool):
    def forget_starts(self) -> None:
        for work in self._started:
            self._data.works.pop(work, None)


SPOOL_FAULTS: Final[tuple[type[MemorySpool], ...]] = (
    MovesPositionWithoutRows, LosesThePosition, KeepsThePositionOfAnOldName, MiscountsDuplicates,
    ForgetsMessages,
    ForgetsMessagesOfEachStream,
    StoresPartOfKnownMessages,
    ForgetsTheDedupeWindow, ReadsAReplayedLineOnce, AnswersPastEarlierDeliveries,
    ReturnsASuccessorTooEarly, PassesOverNewDeliveries,
    ForgetsTheDueTime, ReturnsADeliveryInFlight, FindsOnlyRetriesThatAreDue, DropsASettlement, ForgetsSuccessors,
    ReturnsSuccessorsOfARetry, SettlesTwice, LosesTheHistory, DeadLettersDeliveriesInFlight, ExpiresByTheWallClock,
    MakesOneRetryTooManyDue, ForgetsTheLastRelaysState, AgesWhileDisabled, RemovesTheNewestRecords,
    ExpiresAmongTheFirst, ExpiresHeldDeliveries, CleansUpTheFirstLines, CleansUpRecordsTwice,
    ReturnsDeliveriesThatDidNotWait, KeepsNoDeadLetters, MissesAnOperator, LosesTheUnsynced,
    CountsAStartOnce, KeepsTheCountAfterProgress, ForgetsTheItemInHand, DropsItemsWithTheCount,
    ProbesWithADeliveryInFlight, ProbesOvertakeTheirMessage, ProbesWithTheOldestOnly,
)  # fmt: skip
