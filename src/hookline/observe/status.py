"""The status document (schemas/status.v1.schema.json), and the reasons why pending deliveries wait."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

from hookline.observe.snapshot import LagStatus, LaneStatus, RelayStatus, SpoolStatus, StatusSnapshot, WebhookStatus
from hookline.units import utc_text


def status_document(spool: SpoolStatus, relay: RelayStatus | None, holder: str | None = None) -> dict[str, Any]:
    """`relay` is None if no relay runs, or if it gives no status. In the second case `holder` names the relay."""
    lanes = {lane.webhook: lane for lane in relay.lanes} if relay is not None else {}
    known = {one.webhook: one for one in spool.webhooks}
    webhooks = [known.get(name, WebhookStatus(webhook=name)) for name in sorted(known.keys() | lanes.keys())]
    return {
        "formatVersion": 1,
        "time": moment(spool.at),
        "pending": spool.tally.get("pending", 0),
        "oldestSeconds": _seconds(spool.oldest),
        "deadLetters": spool.dead,
        "rejectedLines": spool.lines,
        "tally": dict(spool.tally),
        "spool": {
            "bytes": dict(spool.sizes),
            "records": spool.records,
            "oldestRecordSeconds": _seconds(spool.oldest_record),
            "duplicatesKnownSeconds": None if relay is None else _seconds(effective_dedupe_window(spool, relay)),
        },
        "webhooks": [_webhook(one, lanes.get(one.webhook)) for one in webhooks],
        "sources": _sources(spool, relay),
        "relay": _relay(relay, holder),
    }


def effective_dedupe_window(spool: SpoolStatus, relay: RelayStatus) -> float:
    """The duplicate window in effect, in seconds: the configured one, or less if `records_max` limits it."""
    if spool.records < relay.records_max:
        return relay.dedupe_window
    return min(relay.dedupe_window, spool.oldest_record or 0.0)


def _webhook(one: WebhookStatus, lane: LaneStatus | None) -> dict[str, Any]:
    return {
        "webhook": one.webhook,
        "pending": one.pending,
        "oldestSeconds": _seconds(one.oldest),
        "deadLetters": one.dead,
        "disabled": one.disabled if lane is None else lane.disabled,
        "pausedSince": moment(one.paused),
        "gone": one.gone_reason,
        "waitsUntil": moment(one.not_before),
        "lane": None if lane is None else {
            "phase": lane.phase,
            "reason": lane.reason,
            "until": moment(lane.until),
            "inFlight": lane.in_flight,
            "queued": lane.queued,
            "nextRetry": moment(lane.next_due),
        },
    }  # fmt: skip


def _sources(spool: SpoolStatus, relay: RelayStatus | None) -> list[dict[str, Any]]:
    """The checkpoints, the latest first, and the sources without one. A source that is being read has its lag."""
    lags = {lag.name: lag for lag in relay.lags} if relay is not None else {}
    checkpoints = {one.name: one for one in reversed(spool.checkpoints)}
    found = [
        _source(one.name, one.line, one.offset, one.at, lags.get(one.name) if checkpoints[one.name] is one else None)
        for one in spool.checkpoints
    ]
    return found + [_source(lag.name, 0, 0, None, lag) for lag in lags.values() if lag.name not in checkpoints]


def _source(name: str, line: int, offset: int, at: float | None, lag: LagStatus | None) -> dict[str, Any]:
    return {
        "name": name,
        "line": line,
        "offset": offset,
        "checkpoint": moment(at),
        "reading": None if lag is None else {
            "line": lag.line, "offset": lag.offset, "behindBytes": lag.behind, "behindSeconds": _seconds(lag.seconds),
        },
    }  # fmt: skip


def _relay(relay: RelayStatus | None, holder: str | None) -> dict[str, Any] | None:
    if relay is None:
        return None if holder is None else {"holder": holder, "says": None}
    return {
        "holder": holder or f"process {relay.process} since {moment(relay.started)}",
        "says": {
            "version": relay.version,
            "started": moment(relay.started),
            "time": moment(relay.at),
            "ready": relay.unready is None,
            "unready": relay.unready,
            "readingPaused": relay.full,
            "spoolMax": relay.spool_max,
            "dedupeWindowSeconds": relay.dedupe_window,
            "stateSerial": relay.serial,
            "clockSteps": relay.clock_steps,
            "connections": {
                "open": relay.connections,
                "max": relay.connections_max,
                "awaited": relay.connections_awaited,
            },
            "logLinesLost": relay.log_lines_lost,
            "readPerSecond": relay.read_rate,
            "deliveredPerSecond": relay.delivered_rate,
        },
    }


def moment(at: float | None) -> str | None:
    """A Unix time as ``2026-05-18T17:01:25Z``."""
    return None if at is None else utc_text(at)


def _seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


_HTTP_STATUS: Final = re.compile(r"http ([1-5][0-9][0-9])\b")
# These reasons are always present: a sum in an alert rule must not lack a value while nothing waits.
ALWAYS_PRESENT_REASONS: Final = ("paused", "disabled", "gone", "not_applied", "retry_later")
_FAILURE_KINDS: Final = frozenset({"network", "timeout", "tls", "fault"})


def waiting_by_reason(report: StatusSnapshot) -> Counter[str]:
    """Pending deliveries of webhooks that now admit no attempt, by reason, which is one of a bounded set of words."""
    lanes = {lane.webhook: lane for lane in report.relay.lanes}
    found: Counter[str] = Counter(dict.fromkeys(ALWAYS_PRESENT_REASONS, 0))
    for one in report.spool.webhooks:
        if one.pending:
            lane = lanes.get(one.webhook)
            reason = "not_applied" if lane is None else waiting_reason(lane, report.relay.at)
            if reason is not None:
                found[reason] += one.pending
    return found


def waiting_reason(lane: LaneStatus, now: float) -> str | None:
    """The reason why a webhook's deliveries wait; None if they are sent. `now` is Unix seconds."""
    if lane.paused:
        return "paused"
    if lane.disabled:
        return "disabled"
    if lane.phase == "closed":
        later = lane.next_due is not None and lane.next_due > now
        return "retry_later" if later and not lane.queued else None
    return "gone" if lane.phase == "gone" else _kind(lane.reason or "")


def _kind(reason: str) -> str:
    if (status := _HTTP_STATUS.match(reason)) is not None:
        return f"http_{status[1]}"
    word = reason.partition(":")[0]
    if word in _FAILURE_KINDS:
        return word
    return "asked_to_wait" if reason.startswith("asked to wait") else "other"
