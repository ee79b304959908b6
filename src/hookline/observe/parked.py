"""Why deliveries stand still: one of a few words, whatever an endpoint has said."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from hookline.observe.report import LaneFacts, Report

_STATUS: Final = re.compile(r"http ([1-5][0-9][0-9])\b")
ALWAYS: Final = ("paused", "disabled", "stopped", "not_applied", "retry_later")
_KINDS: Final = frozenset({"network", "timeout", "tls", "fault"})


def parked(report: Report) -> Counter[str]:
    """Pending deliveries that are not sent, by the reason; ``not_applied`` where their webhook is not there.

    The first few reasons are always there: what is added up must not be missing where nothing is parked.
    """
    lanes = {lane.webhook: lane for lane in report.relay.lanes}
    found: Counter[str] = Counter(dict.fromkeys(ALWAYS, 0))
    for one in report.spool.webhooks:
        if one.pending:
            lane = lanes.get(one.webhook)
            why = "not_applied" if lane is None else why_parked(lane, report.relay.at)
            if why is not None:
                found[why] += one.pending
    return found


def why_parked(lane: LaneFacts, now: float) -> str | None:
    """None: its deliveries are sent."""
    if lane.paused:
        return "paused"
    if lane.disabled:
        return "disabled"
    if lane.phase == "open":
        later = lane.next_due is not None and lane.next_due > now
        return "retry_later" if later and not lane.queued else None
    return "stopped" if lane.phase == "stopped" else _kind(lane.reason or "")


def _kind(reason: str) -> str:
    if (status := _STATUS.match(reason)) is not None:
        return f"http_{status[1]}"
    word = reason.partition(":")[0]
    if word in _KINDS:
        return word
    return "asked_to_wait" if reason.startswith("asked to wait") else "other"
