"""The label values of the metrics, and values that are added up by label.

A metrics server stores every value that it ever sees, so their number is bounded here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from hookline.observe.snapshot import StatusSnapshot
from hookline.observe.status import waiting_by_reason

OTHER_LABEL: Final = "other"
MAX_REASON_LABELS: Final = 60
MAX_SOURCE_LABELS: Final = 100
MAX_PROCESS_LABELS: Final = 100


class Labels:
    """Bounds the number of label values of one kind.

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

    def of_any(self, name: str) -> str:
        """The label of a name; OTHER_LABEL if it has disappeared."""
        return self.of(name) or OTHER_LABEL

    def summed(self, values: Iterable[tuple[str, float]]) -> dict[str, float]:
        """The sum of each label. A name without a label and without a value is left out."""
        summed: dict[str, float] = {}
        for name, value in values:
            if self.of(name) is not None or value:
                label = self.of_any(name)
                summed[label] = summed.get(label, 0) + value
        return summed

    def largest(self, values: Iterable[tuple[str, float]]) -> dict[str, float]:
        """The largest value of each label."""
        largest: dict[str, float] = {}
        for name, value in values:
            if (label := self.of(name)) is not None:
                largest[label] = max(largest.get(label, 0.0), value)
        return largest

    def smallest(self, values: Iterable[tuple[str, float]]) -> dict[str, float]:
        """The smallest value of each label."""
        smallest: dict[str, float] = {}
        for name, value in values:
            if (label := self.of(name)) is not None:
                smallest[label] = min(smallest.get(label, value), value)
        return smallest

    def folded(self, values: Mapping[str, int]) -> Counter[str]:
        """The counts of each label."""
        folded: Counter[str] = Counter()
        for name, n in values.items():
            folded[self.of_any(name)] += n
        return folded


class MetricLabels:
    """The labels of one relay's metrics. Names keep their labels from page to page."""

    def __init__(self, *, max_webhooks: int) -> None:
        self.webhooks = Labels(max_webhooks)
        self.skips = Labels(MAX_REASON_LABELS)
        self.deaths = Labels(MAX_REASON_LABELS)
        self.waiting_reasons = Labels(MAX_REASON_LABELS)
        self.sources = Labels(MAX_SOURCE_LABELS)
        self.processes = Labels(MAX_PROCESS_LABELS)

    def admit(self, report: StatusSnapshot) -> None:
        """Set the names of the next page."""
        self.webhooks.admit(
            {lane.webhook for lane in report.relay.lanes}
            | {one.webhook for one in report.spool.webhooks if one.pending}
        )
        self.skips.admit(skipped_by_reason(report))
        self.deaths.admit(report.counts.dead)
        self.waiting_reasons.admit(waiting_by_reason(report))
        self.sources.admit(lag.name for lag in report.relay.lags)
        self.processes.admit(one.label for one in report.processes.processes)


def skipped_by_reason(report: StatusSnapshot) -> dict[str, int]:
    prefix = "skipped:"
    return {what.removeprefix(prefix): n for what, n in report.spool.tally.items() if what.startswith(prefix)}
