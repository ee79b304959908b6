"""The rules of the operators' ports, beside a relay or without one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from contract.machine.comparison import WEBHOOKS, Comparison, event
from contract.machine.entry import Entry
from contract.machine.kept_line import KeptLine, line_key
from contract.machine.steps import ADDRESSES, LIMITS, NUMBERS, STEPS
from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine
from hookline.relay.spool.admin import MIN_TRACE_ID_DIGITS, Count, Filter

# Filters, some with values that depend on the spool: seconds before now, and the number of an event or a line.
CHOICES: Final = st.sampled_from([
    *[{}] * 8,
    *[{"webhook": address} for address in WEBHOOKS],
    {"channel": "sms"},
    {"status": "bounce"},
    {"reason": "422"},
    {"http": 422},
    {"since": 20.0},
    {"until": 5.0},
    {"ids": "delivery"},
    {"ids": "delivery"},
    {"ids": "beginning"},
    {"ids": "line"},
    {"ids": "nothing"},
])  # fmt: skip


class OperatorRules(Comparison):
    """The commands `dead`, `pause`, `resume`, `retry-now` and `trace`."""

    def _filter(self, choice: dict[str, object], index: int) -> Filter:
        values = dict(choice)
        for name in ("since", "until"):
            if isinstance(seconds := values.get(name), float):
                values[name] = self.now - seconds
        if (kind := values.pop("ids", None)) is not None:
            dead = sorted(one.delivery.id.hex() for one in self.model.dead()) or ["00" * 16]
            lines = [f"line-{n}" for n, key in sorted(self.numbers.items()) if not self.model.lines[key].replayed]
            identity = {
                "delivery": dead[index % len(dead)],
                "beginning": dead[index % len(dead)][:8].upper(),
                "line": lines[index % len(lines)] if lines else "line-999",
                "nothing": "line-999",
            }[str(kind)]
            values["ids"] = (identity,)
        return Filter(**values)  # type: ignore[arg-type]

    def _chosen(self, chosen: Filter) -> tuple[list[Entry], list[KeptLine]] | None:
        """None: the filter names no letter."""
        try:
            return self.model.chosen(chosen, self.numbers)
        except WrongUse:
            with self.store.dead_letters() as dead:
                for call in (dead.count, dead.count_truncated, lambda one: dead.replay(one, now=self.now)):
                    with pytest.raises(WrongUse):
                        call(chosen)
            self.operator_wrote(surely=False)
            return None

    # -- DeadLetterStore

    @precondition(lambda self: self.model.dead() or self.model.lines)
    @rule(choice=CHOICES, index=NUMBERS, limit=LIMITS)
    def list_letters(self, choice: dict[str, object], index: int, limit: int) -> None:
        chosen = self._filter(choice, index)
        if (expected := self._chosen(chosen)) is None:
            return
        entries, lines = expected
        with self.store.dead_letters() as dead:
            assert Count(len(entries), len(lines)) == dead.count(chosen)
            assert sum(not one.whole for one in lines) == dead.count_truncated(chosen)
            newest, everything = list(dead.newest(chosen, limit=limit)), list(dead.all_in_order(chosen))
        assert _named(one.letter() for one in entries) | _named(one.letter for one in lines) == _named(everything)
        times = [one.at for one in newest]
        assert min(limit, len(everything)) == len(newest) == len(_named(newest))
        assert _named(newest).items() <= _named(everything).items()
        assert sorted((one.at for one in everything), reverse=True)[:limit] == times

    @precondition(lambda self: self.model.dead() or self.model.lines)
    @rule(choice=CHOICES, index=NUMBERS, step=STEPS, rate=st.sampled_from([None, 0.5, 2.0]))
    def replay(self, choice: dict[str, object], index: int, step: float, rate: float | None) -> None:
        chosen, now = self._filter(choice, index), self.at(step)
        if (expected := self._chosen(chosen)) is None:
            return
        entries, lines = expected
        scheduled = {one: [each.due or 0.0 for each in self.model.retries(one) if not each.tries] for one in WEBHOOKS}
        again, whole = self.model.replay(entries, now=now), [one for one in lines if one.whole]
        for line in whole:
            line.replayed = True
        seen: list[Count] = []
        with self.store.dead_letters() as dead:
            count = dead.replay(chosen, now=now, rate=rate, on_progress=seen.append)
        assert Count(len(again), len(whole)) == count
        assert not seen or count == seen[-1]
        self.operator_wrote(surely=count.total > 0)
        self._adopt_dues(again, scheduled, rate)

    def _adopt_dues(self, again: list[Entry], scheduled: dict[Address, list[float]], rate: float | None) -> None:
        """Deliveries of one webhook are `rate` per second, from now on or after those of earlier replays."""
        by_webhook = defaultdict(list)
        for entry in again:
            (found,) = self.store.trace_search().trace(entry.delivery.id.hex()).deliveries
            assert found.due is not None
            entry.since += found.due - self.now
            entry.due = found.due
            by_webhook[entry.address].append(found.due)
        for address, dues in by_webhook.items():
            apart = 0.0 if rate is None else 1 / rate
            start = min(dues)
            assert [start + n * apart for n in range(len(dues))] == sorted(dues)
            later = [due for due in scheduled[address] if due > self.now - apart] if rate else []
            assert start == max((due + apart for due in later), default=self.now)

    @precondition(lambda self: self.model.dead() or self.model.lines)
    @rule(choice=CHOICES, index=NUMBERS, step=STEPS)
    def discard(self, choice: dict[str, object], index: int, step: float) -> None:
        chosen, now = self._filter(choice, index), self.at(step)
        if (expected := self._chosen(chosen)) is None:
            return
        entries, lines = expected
        self.model.discard(entries, lines, now=now)
        with self.store.dead_letters() as dead:
            assert Count(len(entries), len(lines)) == dead.discard(chosen, now=now)
        self.operator_wrote(surely=bool(entries or lines))

    @rule(
        events=st.lists(NUMBERS, max_size=3),
        lines=st.lists(st.integers(0, 3), max_size=2),
        age=st.sampled_from([1.0, 25.0, 200.0]),
    )
    def import_letters(self, events: list[int], lines: list[int], age: float) -> None:
        letters: list[DeadLetter] = [self._imported(number, self.now - age) for number in events]
        letters += [
            DeadLine(
                n=number, at=self.now - age, reason="not JSON", source="imported", line=number, part=0,
                data=b'"R-1" imported', length=14, sha256=b"%032d" % number,
            )
            for number in lines
        ]  # fmt: skip
        count = self.model.add(letters)
        with self.store.dead_letter_import() as imported:
            assert count == imported.add(letters)
        self.operator_wrote(surely=count.total > 0)

    def _imported(self, number: int, at: float) -> DeadDelivery:
        """A new letter is one of an earlier address. A store may add the webhook of a known letter, or not."""
        one = event(number)
        address = self.present[one.address] if one.id in self.model.entries else one.address
        return DeadDelivery(
            id=one.id, at=at, reason="http 422", http=422, attempts=3, history=None, webhook=address,
            request_id=one.request_id, channel=one.channel, status=one.status, event_time=one.time,
            detail=one.detail, source="imported", line=number, body=one.body,
        )  # fmt: skip

    # -- WebhookControl

    @rule(address=ADDRESSES, step=STEPS)
    def pause(self, address: Address, step: float) -> None:
        now, one = self.at(step), self.model.webhook(address)
        changes = one.state.paused is None
        with self.store.webhook_control() as control:
            assert changes == control.pause(address, now=now)
        if changes:
            one.change(now, paused=now)
        self.operator_wrote(surely=changes)

    @rule(address=ADDRESSES, step=STEPS)
    def resume(self, address: Address, step: float) -> None:
        now, one = self.at(step), self.model.webhook(address)
        changes = one.state.paused is not None
        with self.store.webhook_control() as control:
            assert changes == control.resume(address, now=now)
        if changes:
            one.change(now, paused=None)
        self.operator_wrote(surely=changes)

    @rule(address=ADDRESSES, step=STEPS)
    def retry_now(self, address: Address, step: float) -> None:
        now, before = self.at(step), self.model.webhook(address).state
        count = self.model.retry_now(address, now=now)
        with self.store.webhook_control() as control:
            assert count == control.retry_now(address, now=now)
        self.operator_wrote(surely=count > 0 or before != self.model.webhook(address).state)

    # -- TraceSearch

    @rule(number=NUMBERS, digits=st.sampled_from([MIN_TRACE_ID_DIGITS, 9, 32]))
    def trace(self, number: int, digits: int) -> None:
        """By the request of an event, and by its id."""
        entries, one = self.model.entries, event(number)
        request = [each for each in entries.values() if each.delivery.request_id == one.request_id]
        self.check_trace(one.request_id, request)
        wanted = one.id.hex()[:digits]
        self.check_trace(wanted, [each for key, each in entries.items() if key.hex().startswith(wanted)])


def _named(letters: Iterable[DeadLetter]) -> dict[object, DeadLetter]:
    """By identity, without the store's numbers of lines."""
    return {
        line_key(one) if isinstance(one, DeadLine) else one.id: (
            msgspec.structs.replace(one, n=0) if isinstance(one, DeadLine) else one
        )
        for one in letters
    }
