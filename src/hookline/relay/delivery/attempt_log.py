"""What the log says of attempts and of endpoints: one wide line for an attempt, one for each change of a gate.

Never a payload, a recipient, a header or a token; what a line may hold is in docs/reference/logs.md.
"""

from __future__ import annotations

from typing import Any

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery.attempt import AttemptRecord
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.response_policy import ConfirmOnce, Delivered, PauseEndpoint, RefreshToken
from hookline.relay.spool.spool import QueuedDelivery, Settlement


class AttemptLog:
    """Of one dispatcher. A failed attempt is told when it is known what follows from it (`settled`); another one that
    follows at once is told right away."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._unlogged: dict[int, tuple[bool, dict[str, Any]]] = {}
        self._faults: dict[Address, str] = {}

    def attempted(self, lane: Lane, item: QueuedDelivery, tried: AttemptRecord) -> None:
        verdict = tried.verdict
        accepted = isinstance(verdict, Delivered)
        if accepted and not self._log.debugging:
            if self._faults:
                self._fault_over(lane.address)
            return
        reason = None if isinstance(verdict, Delivered) else verdict.reason
        fields: dict[str, Any] = {
            "webhook": str(lane.address),
            "id": item.id.hex(),
            "request": item.request_id or None,
            "attempt": tried.number,
            "outcome": type(verdict).__name__.lower(),
            "http": tried.http,
            "milliseconds": round(tried.seconds * 1000, 1),
            "reason": reason,
        }
        if isinstance(verdict, PauseEndpoint) and tried.http is None:
            self._unlogged[item.seq] = (self._is_new_fault(lane.address, verdict.reason), fields)
            return
        self._fault_over(lane.address)
        if accepted:
            self._log.debug("attempt", **fields)
        elif isinstance(verdict, RefreshToken | ConfirmOnce):
            self._log.info("attempt", **fields, next=0.0)
        else:
            self._unlogged[item.seq] = (True, fields)

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement, now: float) -> None:
        """The line of its last attempt, if that failed. `next` is in seconds; a dead letter has none."""
        if not self._unlogged or (untold := self._unlogged.pop(item.seq, None)) is None:
            return
        aloud, fields = untold
        if settlement.due is not None:
            waits = lane.breaker.until if lane.breaker.phase is BreakerPhase.OPEN else 0.0
            fields["next"] = round(max(settlement.due, waits) - now, 1)
        (self._log.info if aloud else self._log.debug)("attempt", **fields)

    def phase_changed(self, lane: Lane, before: BreakerPhase, now: float) -> None:
        gate = lane.breaker
        self._log.info(
            "endpoint",
            webhook=str(lane.address),
            phase=str(gate.phase),
            before=str(before),
            reason=gate.reason,
            next=round(max(0.0, gate.until - now), 1) if gate.phase is BreakerPhase.OPEN else None,
        )

    def _is_new_fault(self, address: Address, reason: str) -> bool:
        """A secret that is missing, say, fails all attempts in flight and every probe: it is said when it changes."""
        if self._faults.get(address) == reason:
            return False
        self._faults[address] = reason
        self._log.warning("fault", webhook=str(address), reason=reason.removeprefix("fault: "))
        return True

    def _fault_over(self, address: Address) -> None:
        if self._faults.pop(address, None) is not None:
            self._log.warning("fault is over", webhook=str(address))
