"""Metric families as the library has them, and those that have nothing to do with single webhooks."""

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
    """Samples with one label."""
    return [((name,), value) for name, value in values.items()]


def of_the_spool(report: Report) -> Iterator[Metric]:
    """Its room, its records, and how old what was counted in it is."""
    spool, relay = report.spool, report.relay
    yield gauge("spool_bytes", "Size of the spool's files.", by_name(spool.sizes), "part")
    yield gauge("spool_limit", "Pending deliveries at which reading pauses (--spool-max).", [((), relay.spool_max)])
    yield gauge("spool_full", "1 while reading pauses for want of room.", [((), int(relay.full))])
    yield gauge("spool_stalled", "1 while the spool cannot be written, such as on a full disk.",
                 [((), int(relay.stalled is not None))])  # fmt: skip
    yield gauge("records", "Small records of what is settled, by which duplicates are known.", [((), spool.records)])
    yield gauge("oldest_record_age_seconds", "Age of the oldest of these records; 0 where there is none.",
                 [((), spool.oldest_record or 0.0)])  # fmt: skip
    yield gauge("surveyed_seconds", "How old the figures on this page are that were counted in the spool.",
                 [((), max(0.0, relay.at - spool.at))])  # fmt: skip


def of_the_relay(report: Report) -> Iterator[Metric]:
    """The process, and what it follows."""
    relay = report.relay
    yield gauge("build_info", "1, with the version as a label.", [((relay.version,), 1)], "version")
    yield gauge("start_time_seconds", "When the relay started, in Unix time.", [((), relay.started)])
    yield gauge("ready", "1 while /readyz says so.", [((), int(relay.unready is None))])
    yield gauge("webhooks", "Webhooks that are applied.", [((), len(relay.lanes))])
    yield gauge("state_serial", "Serial of the state that is followed.", [((), relay.serial)])
    yield gauge("state_unreadable", "1 while the state cannot be read; the relay goes on by what it knows.",
                 [((), int(relay.unreadable is not None))])  # fmt: skip
    yield counter("clock_steps", "How often the machine's clock was set.", [((), relay.clock_steps)])
