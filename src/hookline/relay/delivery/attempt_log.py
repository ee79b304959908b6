"""Log lines about attempts and endpoints: one wide line per attempt, one per phase change of a circuit breaker.

No line contains a payload, a recipient, a header or a token. docs/reference/logs.md lists the fields.
"""

from __future__ import annotations

from typing import Any

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.delivery.attempt import AttemptRecord
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.response_policy import OUTCOMES, ConfirmOnce, Delivered, PauseEndpoint, RefreshToken
from hookline.relay.spool.spool_values import QueuedDelivery, Settlement


class AttemptLog:
    """Writes the lines of one dispatcher.

    The line of a failed attempt waits for its settlement, which supplies the time of the next attempt. If another
    attempt follows at once, the line is written immediately.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._unlogged: dict[int, tuple[bool, dict[str, Any]]] = {}
        self._faults: dict[Address, str] = {}

    def attempted(self, lane: Lane, item: QueuedDelivery, record: AttemptRecord) -> None:
        action = record.action
        accepted = isinstance(action, Delivered)
        if accepted and not self._log.debugging:
            if self._faults:
                self._fault_over(lane.address)
            return
        reason = None if isinstance(action, Delivered) else action.reason
        fields: dict[str, Any] = {
            "webhook": str(lane.address),
            "id": item.id.hex(),
            "request": item.request_id or None,
            "attempt": record.number,
            "outcome": OUTCOMES[type(action)],
            "http": record.http,
            "milliseconds": round(record.seconds * 1000, 1),
            "reason": reason,
            "address": record.address,
        }
        if isinstance(action, PauseEndpoint) and record.http is None:
            self._unlogged[item.seq] = (self._is_new_fault(lane.address, action.reason), fields)
            return
        self._fault_over(lane.address)
        if accepted:
            self._log.debug("attempt", **fields)
        elif isinstance(action, RefreshToken | ConfirmOnce):
            self._log.info("attempt", **fields, next=0.0)
        else:
            self._unlogged[item.seq] = (True, fields)

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement, now: float) -> None:
        """Write the line of the last attempt, if it failed.

        Args:
            lane: The lane of the delivery.
            item: The delivery as it was before its attempts.
            settlement: The settlement. The line of a dead letter has no `next`.
            now: The Unix time, from which `next` counts the seconds.
        """
        if not self._unlogged or (unlogged := self._unlogged.pop(item.seq, None)) is None:
            return
        at_info, fields = unlogged
        if settlement.due is not None:
            opens_at = lane.breaker.until if lane.breaker.phase is BreakerPhase.OPEN else 0.0
            fields["next"] = round(max(settlement.due, opens_at) - now, 1)
        (self._log.info if at_info else self._log.debug)("attempt", **fields)

    def phase_changed(self, lane: Lane, before: BreakerPhase, now: float) -> None:
        breaker = lane.breaker
        self._log.info(
            "endpoint",
            webhook=str(lane.address),
            phase=str(breaker.phase),
            before=str(before),
            reason=breaker.reason,
            next=round(max(0.0, breaker.until - now), 1) if breaker.phase is BreakerPhase.OPEN else None,
        )

    def _is_new_fault(self, address: Address, reason: str) -> bool:
        """Warn once per reason: a missing secret, for example, fails all attempts in flight and every probe."""
        if self._faults.get(address) == reason:
            return False
        self._faults[address] = reason
        self._log.warning("local fault", webhook=str(address), reason=reason.removeprefix("fault: "))
        return True

    def _fault_over(self, address: Address) -> None:
        if self._faults.pop(address, None) is not None:
            self._log.warning("local fault is over", webhook=str(address))
