"""The metrics page: a report as Prometheus text, or as OpenMetrics if the client asks for it.

This module counts nothing and does not use the library's global registry: each page is made from one report.
docs/reference/metrics.md lists the meaning of each metric.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from hookline.observe.drain import DrainForecast
from hookline.observe.snapshot import NO_RESPONSE, LatencyStatus, StatusSnapshot
from hookline.observe.spool_owners import share_of
from hookline.observe.status import waiting_by_reason

Samples = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, text: str, samples: Samples | float, *labels: str) -> Metric:
    """Returns a gauge. One number is the sample of a gauge without labels."""
    return _filled(GaugeMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def counter(name: str, text: str, samples: Samples | float, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples | float) -> Metric:
    for labels, value in [((), samples)] if isinstance(samples, int | float) else samples:
        family.add_metric(labels, value)
    return family


def by_name(values: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), value) for name, value in values.items()]


def spool_metrics(report: StatusSnapshot) -> Iterator[Metric]:
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


def relay_metrics(report: StatusSnapshot) -> Iterator[Metric]:
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


OTHER_LABEL: Final = "other"


class Labels:
    """Bounds the number of label values, because a metrics server stores every value that it ever sees.

    At most `limit` names have their own label; all others share OTHER_LABEL. A name that shares OTHER_LABEL keeps it,
    so that the sum does not fall. A name that disappears frees its label. If it returns, it gets its own label if one
    is free.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._own: set[str] = set()
        self._shared: set[str] = set()

    def admit(self, names: Iterable[str]) -> None:
        """Set the current names. Free labels go to new names in alphabetical order."""
        present = set(names)
        self._own &= present
        for name in sorted(present - self._own - self._shared):
            (self._own if len(self._own) < self._limit else self._shared).add(name)

    def of(self, name: str) -> str | None:
        """The label of a name; None if the name had its own label and has disappeared."""
        if name in self._own:
            return name
        return OTHER_LABEL if name in self._shared else None


CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_REASON_LABELS: Final = 60
MAX_SOURCE_LABELS: Final = 100
MAX_PROCESS_LABELS: Final = 100
RESPONSE_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", NO_RESPONSE)
PHASES: Final = ("closed", "open", "half_open", "gone")


class Metrics:
    """The metrics of one relay. Webhooks keep their labels from page to page."""

    def __init__(self, *, max_webhooks: int) -> None:
        self._webhooks = Labels(max_webhooks)
        self._skips = Labels(MAX_REASON_LABELS)
        self._deaths = Labels(MAX_REASON_LABELS)
        self._waiting_reasons = Labels(MAX_REASON_LABELS)
        self._sources = Labels(MAX_SOURCE_LABELS)
        self._processes = Labels(MAX_PROCESS_LABELS)

    def page(self, report: StatusSnapshot, accept: str) -> tuple[str, bytes]:
        """Returns the content type and the text. `accept` is the request's header, empty if absent."""
        self._webhooks.admit(
            {lane.webhook for lane in report.relay.lanes}
            | {one.webhook for one in report.spool.webhooks if one.pending}
        )
        self._skips.admit(_skipped(report))
        self._deaths.admit(report.counts.dead)
        self._waiting_reasons.admit(waiting_by_reason(report))
        self._sources.admit(lag.name for lag in report.relay.lags)
        self._processes.admit(one.label for one in report.processes.processes)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Page(self._families(report)))
        ProcessCollector(registry=registry)
        if "application/openmetrics-text" in accept:
            return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return CONTENT_TYPE, generate_latest(registry)

    def _families(self, report: StatusSnapshot) -> Iterator[Metric]:
        own = (self._account_metrics, self._webhook_metrics, self._attempt_metrics, self._source_metrics)
        for metrics in (*own, spool_metrics, relay_metrics):
            yield from metrics(report)
        if report.processes.shared:
            yield from self._process_metrics(report)

    def _account_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        tally, skips = report.spool.tally, _skipped(report)
        came = sum(tally.get(what, 0) for what in ("read", "replayed", "moved_in"))
        left = sum(tally.get(what, 0) for what in ("delivered", "rejected", "dead", "duplicates", "moved_out"))
        for what, text in _ACCOUNT.items():
            yield counter(what, text, tally.get(what, 0))
        skipped = self._folded(self._skips, skips)
        yield counter("skipped", "Skipped events, by reason.", by_name(skipped), "reason")
        yield gauge(
            "unsettled",
            "Events read, replayed or moved in, not yet settled or moved out; always the sum of hookline_pending.",
            came - left - sum(skips.values()),
        )  # fmt: skip

    def _webhook_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        webhooks = report.spool.webhooks
        yield self._summed("pending", "Pending deliveries in the spool.",
                           ((one.webhook, one.pending) for one in webhooks))  # fmt: skip
        yield gauge("oldest_undelivered_age_seconds", "Age of the oldest pending delivery; 0 if there is none. "
                     "Time during which the webhook is paused or disabled does not count.",
                    by_name(self._largest((one.webhook, one.oldest or 0.0) for one in webhooks)),
                    "webhook")  # fmt: skip
        yield self._summed("dead_letters", "Deliveries in the dead letters.",
                           ((one.webhook, one.dead) for one in webhooks if one.dead))  # fmt: skip
        yield from self._drain_metrics(report)
        yield gauge("rejected_lines", "Rejected lines or events in the dead letters.", report.spool.lines)
        deaths = self._folded(self._deaths, report.counts.dead)
        yield counter("dead_by_reason", "Deliveries that this process dead-lettered, by kind of reason.",
                      by_name(deaths), "reason")  # fmt: skip
        lanes, relay_at = report.relay.lanes, report.relay.at
        yield self._summed("in_flight", "Attempts in flight.", ((lane.webhook, lane.in_flight) for lane in lanes))
        yield self._phases(report)
        yield gauge("waiting_by_reason", "Pending deliveries of webhooks that currently admit no attempt, by reason.",
                    by_name(self._folded(self._waiting_reasons, waiting_by_reason(report))), "reason")  # fmt: skip
        yield self._summed("paused", "1 while an operator has paused the webhook.",
                           ((lane.webhook, int(lane.paused)) for lane in lanes))  # fmt: skip
        left = ((lane.webhook, max(0.0, lane.keys_end - relay_at)) for lane in lanes if lane.keys_end is not None)
        yield gauge("keys_left_seconds", "Time until the webhook has no active key for its tokens or signatures; 0 "
                    "when it has none. No sample if its keys have no end.", by_name(self._smallest(left)),
                    "webhook")  # fmt: skip
        yield self._certificates(report)
        yield self._summed("disabled", "1 while the applied webhook is disabled.",
                           ((lane.webhook, int(lane.disabled)) for lane in lanes))  # fmt: skip

    def _certificates(self, report: StatusSnapshot) -> Metric:
        left: dict[tuple[str, ...], float] = {}
        for lane in report.relay.lanes:
            for kind, end in lane.certificate_ends.items():
                labels = self._webhooks.of(lane.webhook) or OTHER_LABEL, kind
                seconds = max(0.0, end - report.relay.at)
                left[labels] = min(left.get(labels, seconds), seconds)
        text = (
            "Time until a certificate expires; 0 when it has. endpoint: the one of the latest handshake. client: the "
            "webhook's own. No sample before the first attempt."
        )
        return gauge("certificate_left_seconds", text, left.items(), "webhook", "kind")

    def _drain_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        drains = {lane.webhook: DrainForecast() for lane in report.relay.lanes} | dict(report.drain.webhooks)
        known = ((name, one.seconds) for name, one in drains.items() if one.seconds is not None)
        yield gauge("drain_seconds", "Time that the backlog takes at the present limits; 0 if nothing is pending. No "
                    "sample while it is not known, or nothing is sent.", by_name(self._largest(known)),
                    "webhook")  # fmt: skip
        yield self._summed("drain_expiring", "Pending deliveries that will pass their maxAge before they are sent.",
                           ((name, one.expiring or 0) for name, one in drains.items()))  # fmt: skip

    def _phases(self, report: StatusSnapshot) -> Metric:
        phases: Counter[tuple[str, ...]] = Counter()
        for lane in report.relay.lanes:
            label = self._webhooks.of(lane.webhook) or OTHER_LABEL
            for phase in PHASES:
                phases[label, phase] += phase == lane.phase
        return gauge("circuit_breaker_state", "1 for the breaker's phase: closed, open, half_open or gone.",
                      phases.items(), "webhook", "phase")  # fmt: skip

    def _attempt_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        attempts: Counter[tuple[str, ...]] = Counter()
        for lane in report.relay.lanes:  # a rate needs a first value
            attempts[self._webhooks.of(lane.webhook) or OTHER_LABEL, "delivered"] = 0
        for (webhook, outcome), n in report.counts.attempts.items():
            if (label := self._webhooks.of(webhook)) is not None:
                attempts[label, outcome] += n
        yield counter("attempts", "Attempts, by outcome.", attempts.items(), "webhook", "outcome")
        yield self._responses(report)
        yield self._latencies(report.counts.latency, [str(float(bound)) for bound in report.counts.bounds])

    def _responses(self, report: StatusSnapshot) -> Metric:
        responses: Counter[tuple[str, ...]] = Counter()
        for lane in report.relay.lanes:  # as above; a rate of failures needs the classes that did not occur yet
            for name in RESPONSE_CLASSES:
                responses[self._webhooks.of(lane.webhook) or OTHER_LABEL, name] = 0
        for (webhook, name), n in report.counts.responses.items():
            if (label := self._webhooks.of(webhook)) is not None:
                responses[label, name] += n
        text = "Attempts, by class of the HTTP status: 2xx, 3xx, 4xx, 5xx, or none without a response."
        return counter("responses", text, responses.items(), "webhook", "class")

    def _latencies(self, latency: Mapping[str, LatencyStatus], bounds: list[str]) -> Metric:
        text = "Time from reading or replay to the result: delivered or dead."
        family = HistogramMetricFamily("hookline_settle_seconds", text, labels=["webhook"])
        folded: dict[str, LatencyStatus] = {}
        for webhook, one in latency.items():
            if (label := self._webhooks.of(webhook)) is not None:
                folded[label] = _added(folded[label], one) if label in folded else one
        for label, one in folded.items():
            buckets = zip([*bounds, "+Inf"], accumulate(one.buckets), strict=True)
            family.add_metric([label], list(buckets), one.seconds)
        return family

    def _source_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        lags = [(self._sources.of(lag.name) or OTHER_LABEL, lag) for lag in report.relay.lags]
        behind: Counter[str] = Counter()
        messages: Counter[str] = Counter()
        seconds: dict[str, float] = {}
        for label, lag in lags:
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

    def _process_metrics(self, report: StatusSnapshot) -> Iterator[Metric]:
        """The metrics of a shared spool, the same on the page of each process."""
        processes = report.processes.processes
        alive = Counter(one.kind for one in processes if not one.gone)
        kinds = {kind: alive[kind] for kind in ("relay", "deliver")}
        yield gauge("processes", "Processes whose lease lasts, by kind.", by_name(kinds), "kind")
        yield gauge("slots", "Slots of the spool.", report.processes.slots)
        yield gauge("slots_unowned", "Slots that no process owns.", len(report.processes.unowned))
        owned, pending, left = Counter[str](), Counter[str](), dict[str, float]()
        oldest: dict[str, float] = {}
        for one in processes:
            label, share = self._processes.of(one.label) or OTHER_LABEL, share_of(report.spool, one.slots)
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

    def _summed(self, name: str, text: str, values: Iterable[tuple[str, float]]) -> Metric:
        summed: Counter[str] = Counter()
        for webhook, value in values:
            label = self._webhooks.of(webhook)
            if label is not None or value:
                summed[label or OTHER_LABEL] += value  # type: ignore[assignment] # a Counter of floats
        return gauge(name, text, by_name(summed), "webhook")

    def _largest(self, values: Iterable[tuple[str, float]]) -> dict[str, float]:
        """The largest value of each label."""
        largest: dict[str, float] = {}
        for webhook, value in values:
            if (label := self._webhooks.of(webhook)) is not None:
                largest[label] = max(largest.get(label, 0.0), value)
        return largest

    def _smallest(self, values: Iterable[tuple[str, float]]) -> dict[str, float]:
        """The smallest value of each label."""
        smallest: dict[str, float] = {}
        for webhook, value in values:
            if (label := self._webhooks.of(webhook)) is not None:
                smallest[label] = min(smallest.get(label, value), value)
        return smallest

    @staticmethod
    def _folded(labels: Labels, values: Mapping[str, int]) -> Counter[str]:
        folded: Counter[str] = Counter()
        for name, n in values.items():
            folded[labels.of(name) or OTHER_LABEL] += n
        return folded


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


class _Page:
    """A collector of the library that returns the families of one page."""

    def __init__(self, families: Iterator[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families


def _skipped(report: StatusSnapshot) -> dict[str, int]:
    prefix = "skipped:"
    return {what.removeprefix(prefix): n for what, n in report.spool.tally.items() if what.startswith(prefix)}


def _added(one: LatencyStatus, other: LatencyStatus) -> LatencyStatus:
    buckets = tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True))
    return LatencyStatus(buckets, one.seconds + other.seconds)
