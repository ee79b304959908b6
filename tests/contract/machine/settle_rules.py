"""The rules of SettleSpool."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from builders import settlement
from contract.machine.comparison import END_OF_TIME, Taken
from contract.machine.entry import Entry
from contract.machine.ingest_rules import IngestRules
from contract.machine.model import SpoolModel
from contract.machine.steps import ADDRESSES, ALL, LIMITS, RESULTS, STEPS, WITHOUT, Outcome, has_retries, relay_rule
from hookline.model import Address
from hookline.relay.delivery_record import FailedAttempt, add_failure
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import Settlement


class SettleRules(IngestRules):
    """Lanes that settle what they took."""

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
        for _, one in pairs:
            self.model.end_count(self.spool.work_of(one.address))
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
        limit=LIMITS,
        without=WITHOUT,
    )
    def expire(self, address: Address, step: float, age: float, limit: int, without: int) -> None:
        """Also before the relay has noticed that an operator paused the webhook."""
        if address not in self.model.webhooks:
            return
        now, excluded = self.at(step), self._some(without)
        possible = self._without(self.model.expired(address, age=age, now=now), excluded)
        count = self.spool.expire(
            address, before=now - age, now=now, without={one.item.seq for one in excluded}, limit=limit
        )
        assert min(limit, len(possible)) == count
        died = self._died(address, possible, count, "expired")
        assert sorted(one.since for one in possible)[:count] == sorted(one.since for one in died), "not the oldest"

    def _without(self, entries: list[Entry], excluded: list[Taken]) -> list[Entry]:
        hidden = {one.entry for one in excluded}
        return [one for one in entries if one not in hidden]

    def _died(self, address: Address, possible: list[Entry], count: int, reason: str) -> list[Entry]:
        """Ask the store which ones it chose."""
        with self.store.dead_letters() as dead:
            letters = {getattr(one, "id", b"") for one in dead.all_in_order(Filter(webhook=address))}
        died = [one for one in possible if one.delivery.id in letters]
        assert count == len(died)
        self.model.kill(died, reason=reason, now=self.now)
        return died

    @relay_rule(
        has_retries,
        address=ADDRESSES,
        step=st.sampled_from([0.0, -3.0, -40.0, -40.0]),
        limit=LIMITS,
        wait=st.sampled_from([None, None, 0.0, 3.0, 30.0]),
    )
    def make_due(self, address: Address, step: float, limit: int, wait: float | None) -> None:
        """The clock was set back, or with `wait` a lane starts."""
        self.notice()
        now = self.at(step)
        after = None if wait is None else now + wait
        late = self.model.late(address, after=now) if after is None else self.model.late_retries(address, after=after)
        assert min(limit, len(late)) == self.spool.make_due(address, now=now, limit=limit, after=after)
        items = self.spool.dequeue_due(address, now=END_OF_TIME, limit=ALL, without=())
        changed = [one for one in late if any(one.delivery.id == item.id and item.due == now for item in items)]
        assert min(limit, len(late)) == len(changed)
        for entry in changed:
            entry.due = now
