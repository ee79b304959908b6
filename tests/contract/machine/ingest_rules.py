"""The rules of the ports that a relay opens, fills and reads: IngestSpool, DequeueSpool, StatusPublisher.

Each rule of a port calls the store as a relay does, and compares the result with the model.
"""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contract.machine.comparison import EVENTS, START, WEBHOOKS, Comparison, Cursor, Taken, event
from contract.machine.entry import due_of
from contract.machine.model import SpoolModel
from contract.machine.steps import (
    ADDRESSES,
    LIMITS,
    MESSAGES,
    NUMBERS,
    POSITIONS,
    PROGRESS,
    STEPS,
    WINDOWS,
    WITHOUT,
    has_retries,
    relay_rule,
)
from hookline.errors import MessagesKnown, SpoolUnusable
from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.delivery_record import Line
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import (
    DequeueAnswer,
    DequeueRequest,
    IngestBatch,
    NewDelivery,
    ProbeRequest,
    RejectedLine,
)


def rejected(number: int) -> RejectedLine:
    """One of some lines: parts of one line, a line that was too long, and lines that name a request."""
    data = b'{"requestId":"R-%d", broken' % (number % 4)
    if number == 3:
        return RejectedLine(Line(3, data, 9_000_000, b"h" * 32), -1, "too long")
    return RejectedLine(Line(number // 2, data, len(data)), number % 2, "not JSON")


def _of_messages(messages: Messages, position: Position | None, *, redelivered: int = 0) -> IngestBatch:
    """Messages with an even number are deliveries, the others are skipped."""
    sent = [n for n in messages.numbers if n % 2 == 0]
    return IngestBatch(
        source="stream", position=position, read=len(messages.numbers) + redelivered,
        deliveries=[NewDelivery(n, event(n)) for n in sent], skipped={"status": len(messages.numbers) - len(sent)},
        rejected=[], messages=messages, redelivered=redelivered,
    )  # fmt: skip


class IngestRules(Comparison):
    """The ingester, and lanes that take deliveries."""

    # -- opening and closing

    @relay_rule()
    def close_spool(self) -> None:
        self.close()

    @precondition(lambda self: self.opened is None)
    @rule()
    def open_spool(self) -> None:
        self.open()
        assert self.positions() == sorted(self.spool.positions(), key=repr)

    @relay_rule()
    def reopen(self) -> None:
        self.close()
        self.open_spool()

    @relay_rule(step=STEPS)
    def publish(self, step: float) -> None:
        """Each second a relay publishes its status, and looks for changes. A second relay is refused, or owns
        nothing."""
        self.notice()
        assert not self.spool.changed_by_others()
        if self.store.shared:
            second = spool_store(self.store.name).open(since="now")
            assert set() == second.pending()
            second.close()
        else:
            with pytest.raises(SpoolUnusable):
                self.store.open(since="now")
        assert self.publisher is not None
        self.published = self.at(step)
        self.publisher.publish(RelayStatus(version="1", process=os.getpid(), started=START, at=self.now))

    # -- IngestSpool

    @relay_rule(
        step=STEPS,
        events=st.lists(NUMBERS, min_size=1, max_size=6),
        lines=st.lists(st.integers(0, 5), max_size=2),
        position=POSITIONS,
        window=WINDOWS,
        room=LIMITS,
        progress_of=PROGRESS,
    )
    def enqueue(
        self,
        step: float,
        events: list[int],
        lines: list[int],
        position: Position | None,
        window: float,
        *,
        room: int,
        progress_of: str | None = None,
    ) -> None:
        """With the requests of lanes that have `room`."""
        self._enqueue(
            IngestBatch(
                source="events", position=position, read=len(events) + len(lines) + 1,
                deliveries=[NewDelivery(1 + n, event(number)) for n, number in enumerate(events)],
                skipped={"campaign": 1}, rejected=[rejected(number) for number in lines],
                progress_of=progress_of,
            ),
            step=step, window=window, limit=room,
        )  # fmt: skip

    @relay_rule(
        lambda model: any(one.replayed for one in model.lines.values()),
        step=STEPS,
        limit=LIMITS,
        results=st.lists(st.integers(-3, EVENTS - 1), min_size=1),
        window=WINDOWS,
    )
    def read_replayed_lines(self, step: float, limit: int, results: list[int], window: float) -> None:
        """Each line becomes a delivery, a skipped event, or is rejected again."""
        found = self.spool.replayed_lines(limit=limit)
        expected = {key: line for key, line in self.model.lines.items() if line.replayed}
        assert len(expected) == len(found) or 0 < len(found) == limit < len(expected)
        assert len(found) == len({one.n for one in found})
        for one in found:
            letter = expected[self.numbers[one.n]].letter
            assert (letter.source, letter.part, Line(letter.line, letter.data, letter.length)) == (
                one.source, one.part, one.line,
            )  # fmt: skip
        fates = [results[n % len(results)] for n in range(len(found))]
        self._enqueue(
            IngestBatch(
                source="events", position=None, read=0, replaced_lines=[one.n for one in found],
                deliveries=[NewDelivery(one.line.number, event(fate))
                            for one, fate in zip(found, fates, strict=True) if fate >= 0],
                skipped={"status": sum(fate == -1 for fate in fates)},
                rejected=[RejectedLine(one.line, one.part, "not JSON again")
                          for one, fate in zip(found, fates, strict=True) if fate < -1],
            ),
            step=step, window=window, limit=limit,
        )  # fmt: skip

    @relay_rule(step=STEPS, messages=MESSAGES, position=POSITIONS, window=WINDOWS)
    def enqueue_messages(self, step: float, messages: Messages, position: Position | None, window: float) -> None:
        """Messages of a stream, each with one event. Those that are stored are refused, and counted as duplicates."""
        known = self.model.messages.get(messages.stream, set()) & set(messages.numbers)
        if known:
            refused: set[int] | None = None
            try:
                batch = self.routed(_of_messages(messages, position))
                self.spool.enqueue(batch, now=self.now, dedupe_window=window)
            except MessagesKnown as error:
                refused = set(error.numbers)
            assert known == refused, "stored messages were stored again"
            self.accounting()
        new = msgspec.structs.replace(messages, numbers=[n for n in messages.numbers if n not in known])
        self._enqueue(_of_messages(new, position, redelivered=len(known)), step=step, window=window, limit=1)

    def _enqueue(self, batch: IngestBatch, *, step: float, window: float, limit: int) -> None:
        self.notice()
        batch = self.routed(batch)
        now, replaced = self.at(step), [self.numbers.pop(n) for n in batch.replaced_lines]
        self.model.enqueue(batch, replaced=replaced, now=now, dedupe_window=window)
        cursors = {one: self.cursors.get(one, Cursor()) for one in WEBHOOKS}
        requests = [DequeueRequest(one, cursor.after, limit, self.is_ordered(one)) for one, cursor in cursors.items()]
        enqueued = self.spool.enqueue(batch, now=now, dedupe_window=window, requests=requests)
        assert len(self.model.pending()) == enqueued.pending
        for answer in enqueued.answers:
            self._check_answer(answer, cursors[answer.request.address])
        assert self.positions() == sorted(self.spool.positions(), key=repr)

    def _check_answer(self, answer: DequeueAnswer, cursor: Cursor) -> None:
        """The answer has the next deliveries, and passes over none but those that wait for another one."""
        address, limit, items = answer.request.address, answer.request.limit, answer.items
        possible = self.model.fresh(address, ordered=self.is_ordered(address))
        entries = self.take(items)
        assert len(entries) <= limit
        assert all(item.seq > cursor.after for item in items)
        assert entries == [one for one in possible if one in entries], "not in the order of reading"
        last = entries[-1].place if len(entries) == limit else self.model.last_place
        passed = [one for one in possible if cursor.place < one.place <= last and one not in entries]
        assert not passed, "a new delivery is passed over"
        self.cursors[address] = Cursor(answer.cursor, last)

    # -- DequeueSpool

    @relay_rule(SpoolModel.pending, limit=LIMITS, from_the_start=st.booleans())
    def dequeue_new(self, limit: int, from_the_start: bool) -> None:
        """All lanes ask at once."""
        self.notice()
        cursors = {one: Cursor() if from_the_start else self.cursors.get(one, Cursor()) for one in WEBHOOKS}
        requests = [DequeueRequest(one, cursor.after, limit, self.is_ordered(one)) for one, cursor in cursors.items()]
        answers = self.spool.dequeue_new(requests)
        for request, cursor, (items, after) in zip(requests, cursors.values(), answers, strict=True):
            self._check_answer(DequeueAnswer(request, items, after), cursor)

    @relay_rule(has_retries, address=ADDRESSES, step=STEPS, limit=LIMITS, without=WITHOUT)
    def dequeue_due(self, address: Address, step: float, limit: int, without: int) -> None:
        self.notice()
        now, excluded = self.at(step), self._some(without)
        hidden = {one.entry for one in excluded}
        due = [one for one in self.model.retries(address) if due_of(one) <= now and one not in hidden]
        seqs = {one.item.seq for one in excluded}
        entries = self.take(self.spool.dequeue_due(address, now=now, limit=limit, without=seqs))
        assert [one.due for one in due[:limit]] == [one.due for one in entries]
        assert set(entries) <= set(due)
        seqs = {one.item.seq for one in self._some(1)}
        rest = self.spool.dequeue_due(address, now=now, limit=limit, without=seqs)
        held = {one.entry for one in self._some(1)}
        assert [one.due for one in due if one not in held][:limit] == [one.due for one in self.take(rest)]
        for after in (0.0, now, now + 5.0):
            later = [one.due for one in self.model.retries(address) if due_of(one) > after]
            assert (later[0] if later else None) == self.spool.next_due(address, after=after)

    @relay_rule(
        SpoolModel.pending,
        address=ADDRESSES,
        step=STEPS,
        place=st.sampled_from((0.0, 0.5, 1.0)),
        of_another_message=st.booleans(),
        without=WITHOUT,
    )
    def dequeue_probe(
        self, address: Address, step: float, place: float, of_another_message: bool, without: int
    ) -> None:
        """A lane asks for the oldest, the newest or another delivery. One that was never attempted comes first. With
        order, the newest is the newest of those that wait for no other.
        """
        self.notice()
        now, excluded = self.at(step), self._some(without)
        own = [one for one in self.model.pending() if one.address == address]
        other_than = own[0].order_key if own and of_another_message else None
        ordered = self.is_ordered(address)
        request = ProbeRequest(address=address, place=place, other_than=other_than, ordered=ordered)
        item = self.spool.dequeue_probe(request, now=now, without={one.item.seq for one in excluded})
        heads = [self.model.predecessor(one) or one for one in own] if ordered else own
        hidden = {one.entry for one in excluded}
        fit = [
            (one, head)
            for one, head in zip(own, heads, strict=True)
            if (head.due is None or head.due <= now)
            and head not in hidden
            and (other_than is None or head.order_key != other_than)
        ]
        fresh = [head for one, head in fit if one.due is None and head.due is None]
        possible = [head for _, head in fit]
        found = self.take(() if item is None else [item])
        assert set(found) <= set(possible)
        if place != 0.5:  # the search within the backlog looks only at its newer part
            assert bool(found) == bool(possible)
            if fresh:
                assert found == (fresh[:1] if place == 0.0 else sorted(fresh, key=lambda one: one.place)[-1:])

    def _some(self, without: int) -> list[Taken]:
        return [one for one in self.taken.values() if one.valid][::without] if without else []
