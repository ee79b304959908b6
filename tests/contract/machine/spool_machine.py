"""The machine: a relay and operators on one spool, in any order."""

from __future__ import annotations

from contract.machine.comparison import END_OF_TIME, UNORDERED, WEBHOOKS
from contract.machine.operator_rules import OperatorRules
from contract.machine.relay_rules import ALL, RelayRules, relay_rule
from hookline.relay.spool.spool import DequeueRequest, State

BACKLOG = 6  # pending deliveries from which on a drain is worth a step


class SpoolMachine(RelayRules, OperatorRules):
    """All rules, and one that uses most ports together."""

    @relay_rule(lambda model: len(model.pending()) > BACKLOG)
    def drain(self) -> None:
        """A new relay finds everything that is pending, and delivers it: each round settles one of each message."""
        self.reopen()
        for _ in range(len(self.model.pending())):
            requests = [DequeueRequest(one, 0, ALL, one != UNORDERED) for one in WEBHOOKS]
            for items, _ in self.spool.dequeue_new(requests):
                self.take(items)
            for address in WEBHOOKS:
                self.take(self.spool.dequeue_due(address, now=END_OF_TIME, limit=ALL, without=()))
            delivered = (State.DELIVERED, None, 204, None, 1)
            self.settle(0.0, [(n, delivered) for n in range(len(self.taken))])
        assert [] == self.model.pending()
        assert set() == self.spool.pending()
