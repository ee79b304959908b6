"""The rules of CrashNotes. A relay that is opened again without `forget_starts` has crashed."""

from __future__ import annotations

from hypothesis import strategies as st

from contract.machine.comparison import WEBHOOKS, event
from contract.machine.contents import WorkModel
from contract.machine.ingest_rules import IngestRules
from contract.machine.steps import NUMBERS, SOURCE_WORKS, STEPS, relay_rule
from hookline.relay.spool.crash_notes import CRASHED, CrashNote

CHOICES = st.integers(0, len(SOURCE_WORKS) + len(WEBHOOKS) - 1)


class CrashRules(IngestRules):
    """Works that start, take items in hand, and end or not."""

    @relay_rule(choice=CHOICES, step=STEPS)
    def start_work(self, choice: int, step: float) -> None:
        """A work starts once in each life. Deliveries that were in hand at a crash become dead letters."""
        slots = list(dict.fromkeys(self.spool.work_of(one) for one in WEBHOOKS))
        works = [*SOURCE_WORKS, *slots]
        work = works[choice % len(works)]
        if work in self.started:
            return
        self.started[work] = None
        self.latest_start = self.at(step)
        self.notice()
        note = self.spool.count_start(work, now=self.now)
        starts, items = self.model.start_work(work, now=self.now)
        assert CrashNote(starts, tuple(sorted(items))) == note
        if work in slots and note.items:
            crashed = [one for one in self.model.pending() if one.delivery.id in items]
            assert len(crashed) == self.spool.dead_letter_crashed(work, now=self.now)
            self.model.kill(crashed, reason=CRASHED, now=self.now)
            self.model.works[work].items.clear()
            assert 0 == self.spool.dead_letter_crashed(work, now=self.now)

    @relay_rule(number=NUMBERS, done=st.booleans())
    def take_in_hand(self, number: int, done: bool) -> None:
        """Every started work has an item in hand, or has just finished it."""
        self.notice()
        for work in self.started:
            item = None if done else event(number).id
            self.spool.take_in_hand(work, item)
            self.model.works.setdefault(work, WorkModel(at=self.latest_start)).in_hand = item

    @relay_rule(lambda model: model.works)
    def end_without_a_crash(self) -> None:
        self.notice()
        self.spool.forget_starts()
        for work in self.started:
            self.model.forget_start(work)

    @relay_rule(choice=CHOICES, number=NUMBERS, step=STEPS, crashes=st.booleans())
    def start_again(self, choice: int, number: int, step: float, crashes: bool) -> None:
        """The relay ends with items in hand. The next one starts the same work."""
        self.start_work(choice, step)
        self.take_in_hand(number, done=False)
        if not crashes:
            self.end_without_a_crash()
        self.reopen()
        self.start_work(choice, step)
