"""The rules of the relay's ports: each calls the store as a relay does, and compares the result with the model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from builders import settlement
from contract.machine.comparison import (
    END_OF_TIME,
    EVENTS,
    START,
    UNORDERED,
    WEBHOOKS,
    Comparison,
    Cursor,
    Taken,
    event,
)
from contract.machine.model import Entry, SpoolModel, due_of
from contract.spool_stores import DAY
from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.delivery_record import FailedAttempt, Line, add_failure
from hookline.relay.sources.source import Position
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool import (
    DequeueRequest,
    IngestBatch,
    NewDelivery,
    RejectedLine,
    Retention,
    Settlement,
    State,
)

STEPS: Final = st.sampled_from([0.0, 1.0, 1.0, 5.0, 30.0, -3.0, -40.0])
ADDRESSES: Final = st.sampled_from(WEBHOOKS)
LIMITS: Final = st.sampled_from([1, 2, 100])
NUMBERS: Final = st.integers(0, EVENTS - 1)
WINDOWS: Final = st.sampled_from([0.0, 20.0, DAY, DAY])
# A file before and after the first line was read, the same content under a new name, another file, a pipe.
SOURCES: Final = (
    Position(name="events", device=1, inode=2),
    Position(name="events", device=1, inode=2, key=b"A", line=2, offset=20),
    Position(name="events", device=1, inode=2, key=b"A", line=7, offset=70),
    Position(name="events.1", device=1, inode=2, key=b"A", line=9, offset=90),
    Position(name="copy", device=1, inode=4, key=b"A", line=9, offset=90),
    Position(name="other", device=1, inode=3, key=b"B", line=4, offset=40),
    Position(name="-", key=b"pipe", line=3),
)
POSITIONS: Final = st.sampled_from([None, *SOURCES])
# State, reason, HTTP status, seconds until it is due, requests.
Outcome = tuple[State, str | None, int | None, float | None, int]
OUTCOMES: Final = st.sampled_from([
    (State.DELIVERED, None, 204, None, 1),
    (State.DELIVERED, None, 204, None, 2),
    (State.DEAD, "http 422", 422, None, 1),
    (State.DEAD, "expired", None, None, 0),
    (State.PENDING, "http 503", 503, 4.0, 1),
    (State.PENDING, "timeout", None, 60.0, 1),
])  # fmt: skip
RESULTS: Final = st.lists(OUTCOMES, min_size=2, max_size=6)
WITHOUT: Final = st.sampled_from([0, 1, 2])  # none, all, or every second delivery that the lanes hold
ALL: Final = 1000


def relay_rule(
    when: Callable[[Any], object] = lambda _: True, **strategies: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule for a relay that owns the spool. `when`: the model's contents that make it worth a step."""

    def possible(machine: Any) -> bool:
        return machine.opened is not None and bool(when(machine.model))

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        decorated: Callable[..., None] = precondition(possible)(rule(**strategies)(function))  # type: ignore[no-untyped-call]
        return decorated

    return decorate


def has_retries(model: SpoolModel) -> bool:
    return any(one.due is not None for one in model.pending())


def rejected(number: int) -> RejectedLine:
    """One of some lines: parts of one line, a line that was too long, and lines that name a request."""
    data = b'{"requestId":"R-%d", broken' % (number % 4)
    if number == 3:
        return RejectedLine(Line(3, data, 9_000_000, b"h" * 32), -1, "too long")
    return RejectedLine(Line(number // 2, data, len(data)), number % 2, "not JSON")


class RelayRules(Comparison):
    """One relay: ingester, lanes, state watcher."""

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
        """Each second a relay publishes its status, and looks for changes. A second relay is refused."""
        self.notice()
        assert not self.spool.changed_by_others()
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
    )
    def enqueue(
        self, step: float, events: list[int], lines: list[int], position: Position | None, window: float
    ) -> None:
        self._enqueue(
            IngestBatch(
                source="events", position=position, read=len(events) + len(lines) + 1,
                deliveries=[NewDelivery(1 + n, event(number)) for n, number in enumerate(events)],
                skipped={"campaign": 1}, rejected=[rejected(number) for number in lines],
            ),
            step=step, window=window,
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
            step=step, window=window,
        )  # fmt: skip

    def _enqueue(self, batch: IngestBatch, *, step: float, window: float) -> None:
        self.notice()
        now, replaced = self.at(step), [self.numbers.pop(n) for n in batch.replaced_lines]
        self.model.enqueue(batch, replaced=replaced, now=now, dedupe_window=window)
        assert len(self.model.pending()) == self.spool.enqueue(batch, now=now, dedupe_window=window)
        assert self.positions() == sorted(self.spool.positions(), key=repr)

    # -- DequeueSpool

    @relay_rule(SpoolModel.pending, limit=LIMITS, from_the_start=st.booleans())
    def dequeue_new(self, limit: int, from_the_start: bool) -> None:
        """All lanes ask at once."""
        self.notice()
        cursors = {one: Cursor() if from_the_start else self.cursors.get(one, Cursor()) for one in WEBHOOKS}
        answers = self.spool.dequeue_new([
            DequeueRequest(address, cursor.after, limit, address != UNORDERED) for address, cursor in cursors.items()
        ])  # fmt: skip
        for (address, cursor), (items, after) in zip(cursors.items(), answers, strict=True):
            possible = self.model.fresh(address, ordered=address != UNORDERED)
            entries = self.take(items)
            assert len(entries) <= limit
            assert all(item.seq > cursor.after for item in items)
            assert entries == [one for one in possible if one in entries], "not in the order of reading"
            last = entries[-1].place if len(entries) == limit else self.model.last_place
            passed = [one for one in possible if cursor.place < one.place <= last and one not in entries]
            assert not passed, "a new delivery is passed over"
            self.cursors[address] = Cursor(after, last)

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

    def _some(self, without: int) -> list[Taken]:
        return [one for one in self.taken.values() if one.valid][::without] if without else []

    # -- SettleSpool

    @precondition(lambda self: self.taken)
    @relay_rule(step=STEPS, results=RESULTS, late=st.booleans())
    def settle(self, step: float, results: list[Outcome], late: bool) -> None:
        """Results of deliveries that the lanes hold, and late ones of deliveries that are settled by then."""
        self.notice()
        possible = [one for one in [*self.taken.values(), *(self.past if late else [])] if one.valid]
        group = {one.item.seq: one for one in possible[-len(results) :]}
        now = self.at(step)
        pairs = [(one.entry, self._result(one, results[n])) for n, one in enumerate(group.values())]
        must, may = self.model.settle(pairs, now=now)
        for seq in group:
            self.taken.pop(seq, None)
        self.past = [*self.past, *group.values()][-6:]
        returned = {one.delivery.id for one in self.take(self.spool.settle([one for _, one in pairs], now=now))}
        assert must <= returned <= may

    @relay_rule(SpoolModel.pending, limit=LIMITS, step=STEPS, results=RESULTS)
    def deliver(self, limit: int, step: float, results: list[Outcome]) -> None:
        """Most deliveries are settled soon after they were taken."""
        self.dequeue_new(limit, from_the_start=True)
        if self.taken:
            self.settle(step, results, late=False)

    def _result(self, taken: Taken, outcome: Outcome) -> Settlement:
        (state, reason, http, wait, posts), item = outcome, taken.item
        history = item.history
        if reason is not None:
            history = add_failure(history, FailedAttempt(self.now, item.attempts + 1, reason, http))
        return settlement(
            item, state, reason=reason, http=http, due=None if wait is None else self.now + wait, posts=posts,
            attempts=item.attempts + posts, history=history,
        )  # fmt: skip

    @relay_rule(
        SpoolModel.pending,
        address=ADDRESSES,
        step=STEPS,
        limit=LIMITS,
        reason=st.sampled_from(["http 410", "webhook deleted"]),
        without=WITHOUT,
    )
    def dead_letter(self, address: Address, step: float, limit: int, reason: str, without: int) -> None:
        self.notice()
        now, excluded = self.at(step), self._some(without)
        possible = self._without(self.model.pending(address), excluded)
        count = self.spool.dead_letter(
            address, reason=reason, now=now, without={one.item.seq for one in excluded}, limit=limit
        )
        assert min(limit, len(possible)) == count
        self._died(address, possible, count, reason)

    @relay_rule(
        SpoolModel.pending,
        address=ADDRESSES,
        step=STEPS,
        age=st.sampled_from([0.0, 10.0, 40.0]),
        without=WITHOUT,
    )
    def expire(self, address: Address, step: float, age: float, without: int) -> None:
        """A held webhook has no lane that sends, so a relay does not call it for one."""
        self.notice()
        if address not in self.model.webhooks or self.model.webhook(address).held_since is not None:
            return
        now, excluded = self.at(step), self._some(without)
        possible = self._without(self.model.expired(address, before=now - age), excluded)
        count = self.spool.expire(
            address, before=now - age, now=now, without={one.item.seq for one in excluded}, limit=ALL
        )
        assert len(possible) == count
        self._died(address, possible, count, "expired")

    def _without(self, entries: list[Entry], excluded: list[Taken]) -> list[Entry]:
        hidden = {one.entry for one in excluded}
        return [one for one in entries if one not in hidden]

    def _died(self, address: Address, possible: list[Entry], count: int, reason: str) -> None:
        """Ask the store which ones it chose."""
        with self.store.dead_letters() as dead:
            letters = {getattr(one, "id", b"") for one in dead.all_in_order(Filter(webhook=address))}
        died = [one for one in possible if one.delivery.id in letters]
        assert count == len(died)
        self.model.kill(died, reason=reason, now=self.now)

    @relay_rule(has_retries, address=ADDRESSES, step=st.sampled_from([0.0, -3.0, -40.0, -40.0]), limit=LIMITS)
    def make_due(self, address: Address, step: float, limit: int) -> None:
        """The clock was set back."""
        self.notice()
        now = self.at(step)
        late = self.model.late(address, now=now)
        assert min(limit, len(late)) == self.spool.make_due(address, now=now, limit=limit)
        items = self.spool.dequeue_due(address, now=END_OF_TIME, limit=ALL, without=())
        changed = [one for one in late if any(one.delivery.id == item.id and item.due == now for item in items)]
        assert min(limit, len(late)) == len(changed)
        for entry in changed:
            entry.due = now

    # -- EndpointStates

    @relay_rule(address=ADDRESSES, step=STEPS, disabled=st.booleans())
    def set_disabled(self, address: Address, step: float, disabled: bool) -> None:
        self.notice()
        self.spool.set_disabled(address, disabled=disabled, now=self.at(step))
        self.model.webhook(address).change(self.now, disabled=disabled)

    @relay_rule(address=ADDRESSES, step=STEPS, seconds=st.sampled_from([3.0, 25.0]))
    def disable_for_a_while(self, address: Address, step: float, seconds: float) -> None:
        self.set_disabled(address, step, disabled=True)
        self.set_disabled(address, seconds, disabled=False)

    @relay_rule(address=ADDRESSES, gone=st.sampled_from([True, True, False]), wait=st.sampled_from([None, 30.0]))
    def save_endpoint_state(self, address: Address, gone: bool, wait: float | None) -> None:
        changes = {
            "gone_reason": "http 410" if gone else None,
            "gone_configuration": "sha256:1" if gone else None,
            "not_before": None if wait is None else self.now + wait,
        }
        self.notice()
        self.spool.save_endpoint_state(address, **changes)  # type: ignore[arg-type]
        self.model.webhook(address).change(self.now, **changes)

    # -- MaintenanceSpool

    @relay_rule(
        step=STEPS,
        keep=st.sampled_from([Retention(30.0, 100), Retention(1000.0, 2), Retention(0.0, 1)]),
        limit=LIMITS,
    )
    def clean_up(self, step: float, keep: Retention, limit: int) -> None:
        """`limit` is per webhook for dead letters. Which lines a small limit reaches is left to the store."""
        model, horizon = self.model, self.at(step) - keep.seconds
        more = self.spool.clean_up(now=self.now, keep=keep, limit=limit)
        records = sorted(model.records(), key=lambda one: one.settled or 0.0)
        over = max(sum((one.settled or 0.0) < horizon for one in records), len(records) - keep.records)
        known = self.store.dry_run().known([one.delivery.id for one in records], delivered_after=-END_OF_TIME)
        gone = [one for one in records if one.delivery.id not in known]
        assert min(limit, over) <= len(gone) <= min(2 * limit, over)
        assert [one.settled for one in records[: len(gone)]] == [one.settled for one in gone], "not the oldest"
        model.remove(gone)
        remains = len(gone) < over
        with self.store.dead_letters() as dead:
            letters = list(dead.all_in_order(Filter()))
        left = {one.id for one in letters if not hasattr(one, "n")}
        for address in WEBHOOKS:
            old = [one for one in model.dead(address) if (one.settled or 0.0) < horizon]
            dropped = [one for one in model.dead(address) if one.delivery.id not in left]
            assert set(dropped) <= set(old)
            assert len(dropped) <= limit
            remains = remains or len(dropped) < len(old)
            model.remove(dropped)
        numbers = {one.n for one in letters if hasattr(one, "n")}
        for n, key in list(self.numbers.items()):
            line = model.lines[key]
            if not line.replayed and n not in numbers:
                assert line.letter.at < horizon
                del model.lines[key]
        if limit == max(limit, len(self.numbers)):
            assert not [one for one in model.lines.values() if one.letter.at < horizon and not one.replayed]
        assert more or not remains
