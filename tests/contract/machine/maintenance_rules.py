"""The rules of EndpointStates and MaintenanceSpool."""

from __future__ import annotations

from hypothesis import strategies as st

from contract.machine.comparison import END_OF_TIME, WEBHOOKS, Comparison
from contract.machine.entry import Entry
from contract.machine.steps import ADDRESSES, LIMITS, STEPS, relay_rule
from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLine
from hookline.relay.spool.activity import MAX_MINUTES_AHEAD, MinuteActivity, minute_of, oldest_minute
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.spool_values import Retention


class MaintenanceRules(Comparison):
    """The state watcher and the cleanup."""

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

    @relay_rule(address=ADDRESSES, step=STEPS, accepted=st.integers(0, 3), failed=st.integers(0, 3))
    def record_activity(self, address: Address, step: float, accepted: int, failed: int) -> None:
        """The parts of a minute are added up. The number of pending deliveries is the latest. The minutes for which
        the ring has no room are removed, also those ahead of a clock that was set back."""
        minute, pending = minute_of(self.at(step)), len(self.model.pending(address))
        self.spool.record_activity([MinuteActivity(minute, address, accepted, failed, None, None, pending)])
        before = self.model.activity.get((minute, address), (0, 0, 0))
        self.model.activity[minute, address] = (before[0] + accepted, before[1] + failed, pending)
        kept = range(oldest_minute(minute), minute + MAX_MINUTES_AHEAD + 1)
        self.model.activity = {key: row for key, row in self.model.activity.items() if key[0] in kept}
        found = self.store.statistics().activity(minute)
        shown = {(one.minute, one.address): (one.accepted, one.failed, one.pending) for one in found}
        assert shown == {key: row for key, row in self.model.activity.items() if key[0] >= minute}

    @relay_rule(
        step=STEPS,
        keep=st.sampled_from([Retention(30.0, 100), Retention(1000.0, 2), Retention(0.0, 1)]),
        limit=LIMITS,
    )
    def clean_up(self, step: float, keep: Retention, limit: int) -> None:
        """At most `limit` of each kind, the oldest first. Which webhooks' letters go first is left to the store."""
        model, horizon = self.model, self.at(step) - keep.seconds
        model.works = {work: one for work, one in model.works.items() if one.at >= horizon}
        more = self.spool.clean_up(now=self.now, keep=keep, limit=limit)
        records = sorted(model.records(), key=_settled)
        over = max(sum(_settled(one) < horizon for one in records), len(records) - keep.records)
        known = self.store.dry_run().known([one.delivery.id for one in records], delivered_after=-END_OF_TIME)
        gone = [one for one in records if one.delivery.id not in known]
        assert min(limit, over) == len(gone)
        assert [one.settled for one in records[: len(gone)]] == [one.settled for one in gone], "not the oldest"
        model.remove(gone)
        with self.store.dead_letters() as dead:
            letters = list(dead.all_in_order(Filter()))
        left = {one.id for one in letters if isinstance(one, DeadDelivery)}
        old = [one for one in model.dead() if _settled(one) < horizon]
        dropped = [one for one in model.dead() if one.delivery.id not in left]
        assert set(dropped) <= set(old)
        assert min(limit, len(old)) == len(dropped)
        for address in WEBHOOKS:
            times = sorted(_settled(one) for one in old if one.address == address)
            removed = sorted(_settled(one) for one in dropped if one.address == address)
            assert times[: len(removed)] == removed, "not the oldest"
        model.remove(dropped)
        remains = over > limit or len(old) > limit
        numbers = {one.n for one in letters if isinstance(one, DeadLine)}
        dropped_lines = [key for n, key in self.numbers.items() if n not in numbers and not model.lines[key].replayed]
        times = sorted(one.letter.at for one in model.lines.values() if not one.replayed and one.letter.at < horizon)
        assert times[:limit] == sorted(model.lines.pop(key).letter.at for key in dropped_lines), "not the oldest"
        assert more or not (remains or len(times) > limit)


def _settled(entry: Entry) -> float:
    assert entry.settled is not None
    return entry.settled
