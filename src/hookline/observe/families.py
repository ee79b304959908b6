"""Helpers for the library's metric families, and the families without a webhook label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from hookline.observe.report import Report

Samples = Iterable[tuple[tuple[str, ...], float]]


def gauge(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def counter(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def by_name(values: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """Returns samples with one label."""
    return [((name,), value) for name, value in values.items()]


def of_the_spool(report: Report) -> Iterator[Metric]:
    """Yields the spool's size, its records, and the age of its counted values."""
    spool, relay = report.spool, report.relay
    yield gauge("spool_bytes", "Size of the spool's files.", by_name(spool.sizes), "part")
    yield gauge("spool_limit", "Pending deliveries at which reading pauses (--spool-max).", [((), relay.spool_max)])
    yield gauge("spool_full", "1 while reading pauses because the spool is full.", [((), int(relay.full))])
    yield gauge("spool_stalled", "1 while the relay cannot write the spool, for example because the disk is full.",
                 [((), int(relay.stalled is not None))])  # fmt: skip
    yield gauge("records", "Records of settled deliveries, used to detect duplicates.", [((), spool.records)])
    yield gauge("oldest_record_age_seconds", "Age of the oldest record; 0 if there is none.",
                 [((), spool.oldest_record or 0.0)])  # fmt: skip
    yield gauge("surveyed_seconds", "Age of the values on this page that were counted in the spool.",
                 [((), max(0.0, relay.at - spool.at))])  # fmt: skip


def of_the_relay(report: Report) -> Iterator[Metric]:
    """Yields the families of the process and of the state that it uses."""
    relay = report.relay
    yield gauge("build_info", "Always 1; the label is the version.", [((relay.version,), 1)], "version")
    yield gauge("start_time_seconds", "Start of the relay, as Unix time.", [((), relay.started)])
    yield gauge("ready", "1 while /readyz answers 200.", [((), int(relay.unready is None))])
    yield gauge("webhooks", "Number of applied webhooks.", [((), len(relay.lanes))])
    yield gauge("state_serial", "Serial of the state that the relay uses.", [((), relay.serial)])
    yield gauge("state_unreadable", "1 while the relay cannot read the state; it continues with the last one.",
                 [((), int(relay.unreadable is not None))])  # fmt: skip
    yield counter("clock_steps", "Number of times that the machine's clock was set.", [((), relay.clock_steps)])
