"""The limits that the endpoints of one relay share."""

from __future__ import annotations

from dataclasses import dataclass, field

from hookline.relay.http.limits.connection_budget import ConnectionBudget
from hookline.relay.http.limits.handshake_threads import ExpensiveTurns


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """`connections` that may be open together, and the turns of expensive `handshakes`."""

    connections: ConnectionBudget = field(default_factory=ConnectionBudget)
    handshakes: ExpensiveTurns = field(default_factory=ExpensiveTurns)
