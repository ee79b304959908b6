"""The status document (schemas/status.v1.schema.json), and the reasons why pending deliveries wait."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from hookline.observe.drain import NO_DRAIN, DrainStatus, drain_document, forecast_document
from hookline.observe.snapshot import (
    Checkpoint,
    LagStatus,
    LaneStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    StatusSnapshot,
    WebhookStatus,
)
from hookline.observe.spool_owners import lags_of, lanes_of, owners_of, reporting, share_of
from hookline.units import utc_text

ONE_OWNER: Final = SpoolProcesses()


def status_document(
    spool: SpoolStatus,
    relay: RelayStatus | None,
    holder: str | None = None,
    processes: SpoolProcesses = ONE_OWNER,
    drain: DrainStatus = NO_DRAIN,
) -> dict[str, Any]:
    """The document.

    Args:
        spool: The status of the spool.
        relay: The one relay of the spool, or the relay that serves the document. None: none runs, or it gives none.
        holder: The name of the relay.
        processes: The processes of a shared spool.
        drain: The forecasts for the backlogs.
    """
    lanes = lanes_of(spool, relay, processes)
    known = {one.webhook: one for one in spool.webhooks}
    webhooks = [known.get(name, WebhookStatus(webhook=name)) for name in sorted(known.keys() | lanes.keys())]
    window = dedupe_window(spool, relay, processes)
    document = {
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
            "duplicatesKnownSeconds": _seconds(window),
        },
        "drain": drain_document(drain.whole),
        "webhooks": [
            {**_webhook(one, lanes.get(one.webhook)), "drain": forecast_document(drain.webhooks.get(one.webhook))}
            for one in webhooks
        ],
        "crashes": [{"work": one.work, "startsWithoutProgress": one.starts} for one in spool.crashes],
        "sources": _sources(spool, lags_of(relay, processes), with_reader=processes.shared),
        "relay": _relay(relay, holder),
    }
    if processes.shared:
        _add_owners(document, spool, processes)
    return document


def _add_owners(document: dict[str, Any], spool: SpoolStatus, processes: SpoolProcesses) -> None:
    """Add the parts that only a shared spool has."""
    owners, slots = owners_of(spool, processes), {one.webhook: one.slot for one in spool.webhooks}
    for webhook in document["webhooks"]:
        owner = owners.get(webhook["webhook"])
        webhook |= {"slot": slots.get(webhook["webhook"]), "owner": None if owner is None else owner.label}
    document["slots"] = {"total": processes.slots, "unowned": list(processes.unowned)}
    document["processes"] = [_process(one, spool) for one in processes.processes]


def _process(one: ProcessStatus, spool: SpoolStatus) -> dict[str, Any]:
    share = share_of(spool, one.slots)
    return {
        "process": one.label,
        "kind": one.kind,
        "name": one.name,
        "host": one.host,
        "pid": one.pid,
        "started": moment(one.started),
        "gone": one.gone,
        "leaseSeconds": _seconds(max(0.0, one.lease_seconds or 0.0)),
        "slots": list(one.slots),
        "readsFiles": one.reads,
        "pending": share.pending,
        "oldestSeconds": _seconds(share.oldest),
        "says": None if one.status is None else _says(one.status),
    }


def dedupe_window(spool: SpoolStatus, relay: RelayStatus | None, processes: SpoolProcesses) -> float | None:
    """The duplicate window in effect; None if no relay reports one. Of several relays, the shortest."""
    relays = [relay] if relay is not None else [status for _, status in reporting(processes)]
    return min((effective_dedupe_window(spool, one) for one in relays), default=None)


def effective_dedupe_window(spool: SpoolStatus, relay: RelayStatus) -> float:
    """The duplicate window in effect, in seconds: the configured one, or less if `records_max` limits it."""
    if spool.records < relay.records_max:
        return relay.dedupe_window
    return min(relay.dedupe_window, spool.oldest_record or 0.0)


def _webhook(one: WebhookStatus, lane: LaneStatus | None) -> dict[str, Any]:
    return {
        "webhook": one.webhook,
        "movedFrom": one.moved_from,
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
            "keysEnd": moment(lane.keys_end),
            "endpointCertificateEnd": moment(lane.certificate_ends.get("endpoint")),
            "clientCertificateEnd": moment(lane.certificate_ends.get("client")),
        },
    }  # fmt: skip


def _sources(
    spool: SpoolStatus, lags: Mapping[tuple[str, str], LagStatus], *, with_reader: bool
) -> list[dict[str, Any]]:
    """The checkpoints, the latest first, and the sources without one. A source that is being read has its lag."""
    latest = {(one.reader, one.name): one for one in reversed(spool.checkpoints)}
    rows = [
        (one.reader, _source(one, lags.get((one.reader, one.name)) if latest[one.reader, one.name] is one else None))
        for one in spool.checkpoints
    ]
    for (reader, name), lag in lags.items():
        if (reader, name) not in latest:
            rows.append((reader, _source(Checkpoint(name=name, line=0, offset=0, at=0.0), lag)))
    return [{**source, "reader": reader} if with_reader else source for reader, source in rows]


def _source(one: Checkpoint, lag: LagStatus | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "line": one.line,
        "offset": one.offset,
        "checkpoint": moment(one.at) if one.at else None,
        "reading": None if lag is None else {
            "line": lag.line, "offset": lag.offset, "behindBytes": lag.behind,
            "behindMessages": lag.behind_messages, "behindSeconds": _seconds(lag.seconds),
        },
    }  # fmt: skip


def _relay(relay: RelayStatus | None, holder: str | None) -> dict[str, Any] | None:
    if relay is None:
        return None if holder is None else {"holder": holder, "says": None}
    return {
        "holder": holder or f"process {relay.process} since {moment(relay.started)}",
        "says": _says(relay),
    }


def _says(relay: RelayStatus) -> dict[str, Any]:
    return {
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
    """Pending deliveries that this relay cannot send now, by reason, which is one of a bounded set of words.

    Those of webhooks that another process owns are among them, so that the rest is the work of this relay.
    """
    lanes = {lane.webhook: lane for lane in report.relay.lanes}
    owners = owners_of(report.spool, report.processes)
    found: Counter[str] = Counter(dict.fromkeys(ALWAYS_PRESENT_REASONS, 0))
    for one in report.spool.webhooks:
        if one.pending:
            lane = lanes.get(one.webhook)
            if lane is not None:
                reason = waiting_reason(lane, report.relay.at)
            elif report.processes.shared:
                reason = _without_lane(one.webhook, owners.get(one.webhook))
            else:
                reason = "not_applied"
            if reason is not None:
                found[reason] += one.pending
    return found


def _without_lane(webhook: str, owner: ProcessStatus | None) -> str:
    """The reason why this relay has no lane of a webhook of a shared spool."""
    if owner is None or owner.gone:
        return "no_owner"
    if owner.status is None or any(lane.webhook == webhook for lane in owner.status.lanes):
        return "other_owner"
    return "not_applied"


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
