"""The metrics that are counted in the spool: the accounting, the backlog of each webhook, and a shared spool's
processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from hookline.observe.drain import DrainForecast
from hookline.observe.metric_families import MetricFamily, by_name, counter, gauge
from hookline.observe.metric_labels import MetricLabels, skipped_by_reason
from hookline.observe.snapshot import StatusSnapshot
from hookline.observe.spool_owners import share_of

_ACCOUNT: Final = {
    "read": "Events read.",
    "replayed": "Dead letters that were replayed.",
    "delivered": "Events delivered.",
    "dead": "Deliveries that became dead letters.",
    "rejected": "Lines or events that were rejected.",
    "duplicates": "Events whose delivery was already known.",
    "moved_in": "Pending deliveries that `spool move` brought from another spool.",
    "moved_out": "Pending deliveries that `spool move` took to another spool.",
}


def account_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    tally, skips = report.spool.tally, skipped_by_reason(report)
    came = sum(tally.get(what, 0) for what in ("read", "replayed", "moved_in"))
    left = sum(tally.get(what, 0) for what in ("delivered", "rejected", "dead", "duplicates", "moved_out"))
    for what, text in _ACCOUNT.items():
        yield counter(what, text, tally.get(what, 0))
    yield counter("skipped", "Skipped events, by reason.", by_name(labels.skips.folded(skips)), "reason")
    yield gauge(
        "unsettled",
        "Events read, replayed or moved in, not yet settled or moved out; always the sum of hookline_pending.",
        came - left - sum(skips.values()),
    )


def backlog_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    """The pending deliveries and the dead letters."""
    webhooks, label = report.spool.webhooks, labels.webhooks
    pending = label.summed((one.webhook, one.pending) for one in webhooks)
    yield gauge("pending", "Pending deliveries in the spool.", by_name(pending), "webhook")
    oldest = label.largest((one.webhook, one.oldest or 0.0) for one in webhooks)
    yield gauge("oldest_undelivered_age_seconds", "Age of the oldest pending delivery; 0 if there is none. "
                 "Time during which the webhook is paused or disabled does not count.",
                by_name(oldest), "webhook")  # fmt: skip
    dead = label.summed((one.webhook, one.dead) for one in webhooks if one.dead)
    yield gauge("dead_letters", "Deliveries in the dead letters.", by_name(dead), "webhook")
    yield from _drain_metrics(report, labels)
    yield gauge("rejected_lines", "Rejected lines or events in the dead letters.", report.spool.lines)


def _drain_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    drains = {lane.webhook: DrainForecast() for lane in report.relay.lanes} | dict(report.drain.webhooks)
    known = ((name, one.seconds) for name, one in drains.items() if one.seconds is not None)
    yield gauge("drain_seconds", "Time that the backlog takes at the present limits; 0 if nothing is pending. No "
                "sample while it is not known, or nothing is sent.", by_name(labels.webhooks.largest(known)),
                "webhook")  # fmt: skip
    expiring = labels.webhooks.summed((name, one.expiring or 0) for name, one in drains.items())
    text = "Pending deliveries that will pass their maxAge before they are sent."
    yield gauge("drain_expiring", text, by_name(expiring), "webhook")


def storage_metrics(report: StatusSnapshot) -> Iterator[MetricFamily]:
    """The size and the limits of the spool, and whether the relay can write it."""
    spool, relay = report.spool, report.relay
    yield gauge("spool_bytes", "Size of the spool's files.", by_name(spool.sizes), "part")
    yield gauge("spool_limit", "Pending deliveries at which reading pauses (--spool-max).", relay.spool_max)
    yield gauge("spool_full", "1 while reading pauses because the spool is full.", relay.full)
    yield gauge("input_unrecognized", "1 while no line of a followed input is recognized.", relay.unrecognized)
    stray = "Bytes that were left out before lines: NUL bytes, record separators and byte order marks."
    yield counter("input_stray_bytes", stray, relay.stray_bytes)
    stalled = "1 while the relay cannot write the spool, for example because the disk is full."
    yield gauge("spool_stalled", stalled, relay.stalled is not None)
    yield gauge("records", "Records of settled deliveries, used to detect duplicates.", spool.records)
    oldest = "Age of the oldest record; 0 if there is none."
    yield gauge("oldest_record_age_seconds", oldest, spool.oldest_record or 0.0)
    surveyed = "Age of the values on this page that were counted in the spool."
    yield gauge("surveyed_seconds", surveyed, max(0.0, relay.at - spool.at))


def process_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    """The metrics of a shared spool, the same on the page of each process. The embedded spool has none."""
    if not report.processes.shared:
        return
    processes = report.processes.processes
    alive = Counter(one.kind for one in processes if not one.gone)
    kinds = {kind: alive[kind] for kind in ("relay", "deliver")}
    yield gauge("processes", "Processes whose lease lasts, by kind.", by_name(kinds), "kind")
    yield gauge("slots", "Slots of the spool.", report.processes.slots)
    yield gauge("slots_unowned", "Slots that no process owns.", len(report.processes.unowned))
    owned, pending, left = Counter[str](), Counter[str](), dict[str, float]()
    oldest: dict[str, float] = {}
    for one in processes:
        label, share = labels.processes.of_any(one.label), share_of(report.spool, one.slots)
        owned[label] += len(one.slots)
        pending[label] += share.pending
        oldest[label] = max(oldest.get(label, 0.0), share.oldest or 0.0)
        left[label] = min(left.get(label, float("inf")), max(0.0, one.lease_seconds or 0.0))
    yield gauge("process_slots", "Slots that a process owns.", by_name(owned), "process")
    yield gauge("process_pending", "Pending deliveries of a process's slots.", by_name(pending), "process")
    yield gauge("process_oldest_undelivered_age_seconds", "Age of the oldest of these; 0 if there is none.",
                by_name(oldest), "process")  # fmt: skip
    yield gauge("process_lease_seconds", "The rest of a process's lease; 0 when it is over.",
                by_name(left), "process")  # fmt: skip
