"""The machine: a relay and operators on one spool, in any order."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from contract.machine.comparison import END_OF_TIME, EVENTS, WEBHOOKS
from contract.machine.crash_rules import CrashRules
from contract.machine.maintenance_rules import MaintenanceRules
from contract.machine.move_rules import MoveRules
from contract.machine.operator_rules import OperatorRules
from contract.machine.settle_rules import SettleRules
from contract.machine.steps import ALL, LIMITS, NUMBERS, RESULTS, SOURCES, Outcome, relay_rule
from contract.spool_stores import DAY
from hookline.relay.spool.spool_values import DequeueRequest, State

BACKLOG = 6  # pending deliveries from which on a drain is worth a step


class SpoolMachine(SettleRules, MaintenanceRules, MoveRules, CrashRules, OperatorRules):
    """All rules, and one that uses most ports together."""

    @initialize(events=st.lists(NUMBERS, min_size=6, max_size=EVENTS, unique=True), limit=LIMITS, results=RESULTS)
    def first_relay(self, events: list[int], limit: int, results: list[Outcome]) -> None:
        self.open()
        self.enqueue(0.0, events, [0, 1, 3], SOURCES[1], DAY, room=limit)
        self.deliver(limit, 1.0, results)

    @relay_rule(lambda model: len(model.pending()) > BACKLOG)
    def drain(self) -> None:
        """A new relay finds everything that is pending, and delivers it: each round settles one of each message."""
        self.reopen()
        for _ in range(len(self.model.pending())):
            requests = [DequeueRequest(one, 0, ALL, self.is_ordered(one)) for one in WEBHOOKS]
            for items, _ in self.spool.dequeue_new(requests):
                self.take(items)
            for address in WEBHOOKS:
                self.take(self.spool.dequeue_due(address, now=END_OF_TIME, limit=ALL, without=()))
            delivered = (State.DELIVERED, None, 204, None, 1)
            self.settle(0.0, [delivered] * len(self.taken), late=False)
        assert [] == self.model.pending()
        assert set() == self.spool.pending()
