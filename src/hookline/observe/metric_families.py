"""Families of metrics: gauges, counters and histograms, made from values. All names begin with `hookline_`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

MetricFamily: TypeAlias = Metric
Samples = Iterable[tuple[tuple[str, ...], float]]
Buckets = Sequence[tuple[str, float]]


def gauge(name: str, text: str, samples: Samples | float, *labels: str) -> MetricFamily:
    """Returns a gauge. One number is the sample of a gauge without labels."""
    return _filled(GaugeMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def counter(name: str, text: str, samples: Samples | float, *labels: str) -> MetricFamily:
    return _filled(CounterMetricFamily(f"hookline_{name}", text, labels=labels), samples)


def histogram(name: str, text: str, samples: Mapping[str, tuple[Buckets, float]], label: str) -> MetricFamily:
    """Returns a histogram. A sample has its cumulative buckets, by their upper bounds, and the sum of its values."""
    family = HistogramMetricFamily(f"hookline_{name}", text, labels=[label])
    for value, (buckets, total) in samples.items():
        family.add_metric([value], buckets, total)
    return family


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples | float) -> MetricFamily:
    for labels, value in [((), samples)] if isinstance(samples, int | float) else samples:
        family.add_metric(labels, value)
    return family


def by_name(values: Mapping[str, float]) -> list[tuple[tuple[str, ...], float]]:
    """The samples of a family with one label."""
    return [((name,), value) for name, value in values.items()]
