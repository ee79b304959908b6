"""The metrics page: a report as Prometheus text, or as OpenMetrics if the client asks for it.

No module of the metrics counts anything or uses the library's global registry: each page is made from one report.
docs/reference/metrics.md lists the meaning of each metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from hookline.observe.metric_families import MetricFamily
from hookline.observe.metric_labels import MetricLabels
from hookline.observe.relay_metrics import attempt_metrics, lane_metrics, relay_metrics, source_metrics
from hookline.observe.snapshot import StatusSnapshot
from hookline.observe.spool_metrics import account_metrics, backlog_metrics, process_metrics, storage_metrics

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one relay. Webhooks keep their labels from page to page."""

    def __init__(self, *, max_webhooks: int) -> None:
        self._labels = MetricLabels(max_webhooks=max_webhooks)

    def page(self, report: StatusSnapshot, accept: str) -> tuple[str, bytes]:
        """Returns the content type and the text. `accept` is the request's header, empty if absent."""
        self._labels.admit(report)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Page(_families(report, self._labels)))
        ProcessCollector(registry=registry)
        if "application/openmetrics-text" in accept:
            return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return CONTENT_TYPE, generate_latest(registry)


def _families(report: StatusSnapshot, labels: MetricLabels) -> Iterator[MetricFamily]:
    for metrics in (account_metrics, backlog_metrics, lane_metrics, attempt_metrics, source_metrics):
        yield from metrics(report, labels)
    yield from storage_metrics(report)
    yield from relay_metrics(report)
    yield from process_metrics(report, labels)


class _Page:
    """A collector of the library that returns the families of one page."""

    def __init__(self, families: Iterator[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterator[MetricFamily]:
        return self._families
