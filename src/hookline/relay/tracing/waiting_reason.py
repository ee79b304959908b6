"""The reason why a pending delivery is not sent at the moment, as text for people."""

from __future__ import annotations

from typing import Final

from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses
from hookline.observe.status import moment
from hookline.relay.spool.admin import TracedDelivery
from hookline.relay.spool.spool_values import State

IN_FLIGHT: Final = "in flight"
NO_RELAY: Final = "no relay is running on this spool"


def why_waiting_anywhere(one: TracedDelivery, processes: SpoolProcesses, *, now: float) -> str | None:
    """As `why_waiting`, for a spool with one owner or with many. `now` is Unix seconds."""
    if not processes.shared:
        holder, relay = processes.relay
        return why_waiting(one, relay, held=holder is not None, now=now)
    owner = next((process for process in processes.processes if one.slot in process.slots), None)
    living = None if owner is None or owner.gone else owner
    reason = why_waiting(one, None if living is None else living.status, held=living is not None, now=now)
    return _with_owner(one.slot, owner) if reason == NO_RELAY else reason


def _with_owner(slot: int | None, owner: ProcessStatus | None) -> str:
    if owner is None:
        return f"no process owns its slot {slot}"
    return f"{owner.label}, which owns its slot {slot}, is gone; another process takes the slot over"


def why_waiting(one: TracedDelivery, relay: RelayStatus | None, *, held: bool, now: float) -> str | None:
    """The strongest reason why a pending delivery is not sent now, for people; None for a settled one.

    Args:
        one: the delivery.
        relay: the status of the spool's relay; None if it reports none.
        held: a relay has locked the spool.
        now: Unix seconds.
    """
    lane = None if relay is None else next((lane for lane in relay.lanes if lane.webhook == one.webhook), None)
    if one.state is not State.PENDING:
        return None
    if one.paused is not None:
        return f"an operator paused its webhook at {moment(one.paused)}"
    if one.disabled or (lane is not None and lane.disabled):
        return "its webhook is disabled in the applied configuration"
    if not held:
        return NO_RELAY
    if relay is not None and lane is None and relay.unready is None:
        return "its webhook is not applied"
    if lane is not None and one.id in lane.attempting:
        return IN_FLIGHT
    if lane is not None and lane.phase == "gone":
        return f"its endpoint is gone: {lane.reason}"
    if one.predecessor is not None and one.due is None and (lane is None or lane.ordered):
        return f"it waits for the earlier event {one.predecessor} of its message"
    if lane is not None and lane.phase == "open":
        return f"the circuit breaker of its endpoint is open until {moment(lane.until)}: {lane.reason}"
    if lane is not None and lane.phase == "half_open":
        return f"the relay probes its endpoint with one event at a time: {lane.reason}"
    if one.not_before is not None and one.not_before > now:
        return f"its endpoint requested a pause until {moment(one.not_before)}"
    if one.due is not None and one.due > now:
        return f"its next attempt is at {moment(one.due)}"
    return "earlier deliveries are sent first"
