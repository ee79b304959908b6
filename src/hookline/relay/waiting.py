"""Why a pending delivery is not on its way at this moment."""

from __future__ import annotations

from hookline.observe.report import LaneFacts, RelayFacts
from hookline.observe.status import moment
from hookline.relay.spool.admin import Traced


def why_waiting(one: Traced, relay: RelayFacts | None, *, held: bool, now: float) -> str:
    """The strongest reason, for people. `held`: a relay has the spool; `relay` is what it says, where it does."""
    lane = None if relay is None else next((lane for lane in relay.lanes if lane.webhook == one.webhook), None)
    if one.paused is not None:
        return f"its webhook is paused by hand, since {moment(one.paused)}"
    if one.disabled or (lane is not None and lane.disabled):
        return "its webhook is disabled by what is applied"
    if not held:
        return "no relay is running on this spool"
    if relay is not None and lane is None and relay.unready is None:
        return "its webhook is not applied"
    if lane is not None and lane.phase == "stopped":
        return f"its endpoint is stopped: {lane.reason}"
    if one.predecessor is not None and one.due is None and (lane is None or lane.ordered):
        return f"it waits for the earlier event {one.predecessor} of its message"
    if lane is not None and lane.phase in ("waiting", "probing"):
        return _at_the_gate(lane)
    if one.not_before is not None and one.not_before > now:
        return f"its endpoint has asked to be left alone until {moment(one.not_before)}"
    if one.due is not None and one.due > now:
        return f"its next attempt is at {moment(one.due)}"
    return "its turn comes after what is before it"


def _at_the_gate(lane: LaneFacts) -> str:
    if lane.phase == "waiting":
        return f"its endpoint is left alone until {moment(lane.until)}: {lane.reason}"
    return f"its endpoint is tried with one event at a time: {lane.reason}"
