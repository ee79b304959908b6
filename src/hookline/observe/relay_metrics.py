"""The metrics of the values that a relay has in memory: its lanes, attempts and sources, and the process itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from hookline.observe.metric_families import MetricFamily, by_name, counter, gauge, histogram
from hookline.observe.metric_labels import MetricLabels
from hookline.observe.snapshot import NO_RESPONSE, LatencyStatus, StatusSnapshot
from hookline.observe.status import waiting_by_reason

RESPONSE_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", NO_RESPONSE)
PHASES: Final = ("closed", "open", "half_open", "gone")


def lane_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    lanes, label = report.relay.lanes, labels.webhooks
    deaths = by_name(labels.deaths.folded(report.counts.dead))
    yield counter(
        "dead_by_reason", "Deliveries that this process dead-lettered, by kind of reason.", deaths, "reason"
    )
    in_flight = label.summed((lane.webhook, lane.in_flight) for lane in lanes)
    yield gauge("in_flight", "Attempts in flight.", by_name(in_flight), "webhook")
    yield _phases(report, labels)
    waiting = by_name(labels.waiting_reasons.folded(waiting_by_reason(report)))
    text = "Pending deliveries of webhooks that currently admit no attempt, by reason."
    yield gauge("waiting_by_reason", text, waiting, "reason")
    paused = label.summed((lane.webhook, int(lane.paused)) for lane in lanes)
    yield gauge("paused", "1 while an operator has paused the webhook.", by_name(paused), "webhook")
    left = ((lane.webhook, max(0.0, lane.keys_end - report.relay.at)) for lane in lanes if lane.keys_end is not None)
    yield gauge("keys_left_seconds", "Time until the webhook has no active key for its tokens or signatures; 0 "
                "when it has none. No sample if its keys have no end.", by_name(label.smallest(left)),
                "webhook")  # fmt: skip
    yield _certificates(report, labels)
    disabled = label.summed((lane.webhook, int(lane.disabled)) for lane in lanes)
    yield gauge("disabled", "1 while the applied webhook is disabled.", by_name(disabled), "webhook")


def _phases(report: StatusSnapshot, labels: MetricLabels) -> MetricFamily:
    phases: Counter[tuple[str, ...]] = Counter()
    for lane in report.relay.lanes:
        label = labels.webhooks.of_any(lane.webhook)
        for phase in PHASES:
            phases[label, phase] += phase == lane.phase
    return gauge("circuit_breaker_state", "1 for the breaker's phase: closed, open, half_open or gone.",
                  phases.items(), "webhook", "phase")  # fmt: skip


def _certificates(report: StatusSnapshot, labels: MetricLabels) -> MetricFamily:
    left: dict[tuple[str, ...], float] = {}
    for lane in report.relay.lanes:
        for kind, end in lane.certificate_ends.items():
            sample = labels.webhooks.of_any(lane.webhook), kind
            seconds = max(0.0, end - report.relay.at)
            left[sample] = min(left.get(sample, seconds), seconds)
    text = (
        "Time until a certificate expires; 0 when it has. endpoint: the one of the latest handshake. client: the "
        "webhook's own. No sample before the first attempt."
    )
    return gauge("certificate_left_seconds", text, left.items(), "webhook", "kind")


def attempt_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    attempts: Counter[tuple[str, ...]] = Counter()
    for lane in report.relay.lanes:  # a rate needs a first value
        attempts[labels.webhooks.of_any(lane.webhook), "delivered"] = 0
    for (webhook, outcome), n in report.counts.attempts.items():
        if (label := labels.webhooks.of(webhook)) is not None:
            attempts[label, outcome] += n
    yield counter("attempts", "Attempts, by outcome.", attempts.items(), "webhook", "outcome")
    yield _responses(report, labels)
    yield _latencies(report, labels)


def _responses(report: StatusSnapshot, labels: MetricLabels) -> MetricFamily:
    responses: Counter[tuple[str, ...]] = Counter()
    for lane in report.relay.lanes:  # as above; a rate of failures needs the classes that did not occur yet
        for name in RESPONSE_CLASSES:
            responses[labels.webhooks.of_any(lane.webhook), name] = 0
    for (webhook, name), n in report.counts.responses.items():
        if (label := labels.webhooks.of(webhook)) is not None:
            responses[label, name] += n
    text = "Attempts, by class of the HTTP status: 2xx, 3xx, 4xx, 5xx, or none without a response."
    return counter("responses", text, responses.items(), "webhook", "class")


def _latencies(report: StatusSnapshot, labels: MetricLabels) -> MetricFamily:
    folded: dict[str, LatencyStatus] = {}
    for webhook, one in report.counts.latency.items():
        if (label := labels.webhooks.of(webhook)) is not None:
            folded[label] = _added(folded[label], one) if label in folded else one
    bounds = [*(str(float(bound)) for bound in report.counts.bounds), "+Inf"]
    samples = {
        label: (list(zip(bounds, accumulate(one.buckets), strict=True)), one.seconds) for label, one in folded.items()
    }
    text = "Time from reading or replay to the result: delivered or dead."
    return histogram("settle_seconds", text, samples, "webhook")


def _added(one: LatencyStatus, other: LatencyStatus) -> LatencyStatus:
    buckets = tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True))
    return LatencyStatus(buckets, one.seconds + other.seconds)


def source_metrics(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    behind: Counter[str] = Counter()
    messages: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for lag in report.relay.lags:
        label = labels.sources.of_any(lag.name)
        if lag.behind is not None:
            behind[label] += lag.behind
        if lag.behind_messages is not None:
            messages[label] += lag.behind_messages
        seconds[label] = max(seconds.get(label, 0.0), lag.seconds)
    yield gauge("source_lag_bytes", "Bytes of a source that are not read yet.", by_name(behind), "source")
    yield gauge("source_lag_messages", "Messages of a distributed log that are not read yet.", by_name(messages),
                 "source")  # fmt: skip
    yield gauge("source_lag_seconds", "Time during which no line was read although the source has more.",
                 by_name(seconds), "source")  # fmt: skip


def relay_metrics(report: StatusSnapshot) -> Iterator[MetricFamily]:
    """The relay as a whole: its version, its state and its connections."""
    relay = report.relay
    yield gauge("build_info", "Always 1; the label is the version.", [((relay.version,), 1)], "version")
    yield gauge("start_time_seconds", "Start of the relay, as Unix time.", relay.started)
    yield gauge("ready", "1 while /readyz answers 200.", relay.unready is None)
    yield gauge("webhooks", "Number of applied webhooks.", len(relay.lanes))
    yield gauge("state_serial", "Serial of the state that the relay uses.", relay.serial)
    unreadable = "1 while the relay cannot read the state; it continues with the last one."
    yield gauge("state_unreadable", unreadable, relay.unreadable is not None)
    yield gauge("connections", "Open connections to endpoints.", relay.connections)
    most = "Connections that may be open, by the limit of file descriptors."
    yield gauge("connections_limit", most, relay.connections_max)
    awaited = "Attempts that wait for a connection, because too many are open, or for a file descriptor."
    yield gauge("connections_awaited", awaited, relay.connections_awaited)
    yield counter("log_lines_lost", "Number of log lines that could not be written.", relay.log_lines_lost)
    yield counter("clock_steps", "Number of times that the machine's clock was set.", relay.clock_steps)
