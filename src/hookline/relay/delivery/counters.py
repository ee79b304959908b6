"""Counts of the relay's work since it started, by webhook and in memory, for metrics.

The accounting that must be exact is the tally of the spool. These counts explain how it came about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import Final

from hookline.model import Address
from hookline.observe.snapshot import Counts, LatencyStatus

# Upper bounds of the histogram in seconds, from immediate results to the longest retries.
LATENCY_BOUNDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)

_STATUS: Final = re.compile(r"http ([1-5][0-9][0-9])")
_CLASSES: Final = {"expired": "expired", "webhook deleted": "webhook_deleted", "crashed": "crashed"}


class Latency:
    """A histogram: one bucket per bound of LATENCY_BOUNDS, and a last one for longer times."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add the time of one delivery from reading or replay to its result. If it is negative, it counts as 0."""
        self.buckets[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.seconds += max(0.0, seconds)


class WebhookCounters:
    """Counts of one webhook: attempts by outcome (response_policy.OUTCOMES), and the time until the result."""

    __slots__ = ("attempts", "latency")

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.latency = Latency()


class Counters:
    """Counts of all webhooks. Only the event loop writes them.

    The counts of a webhook continue when its configuration changes. `dead` is counted by the class of the reason.
    """

    def __init__(self) -> None:
        self.by_webhook: dict[Address, WebhookCounters] = {}
        self.dead: Counter[str] = Counter()

    def of(self, address: Address) -> WebhookCounters:
        return self.by_webhook.setdefault(address, WebhookCounters())

    def add_dead(self, reason: str | None, deliveries: int = 1) -> None:
        self.dead[reason_class(reason)] += deliveries

    def snapshot(self) -> Counts:
        """Copy all counts."""
        return Counts(
            attempts={
                (str(address), outcome): n
                for address, one in self.by_webhook.items()
                for outcome, n in one.attempts.items()
            },
            latency={
                str(address): LatencyStatus(tuple(one.latency.buckets), one.latency.seconds)
                for address, one in self.by_webhook.items()
            },
            bounds=LATENCY_BOUNDS,
            dead=dict(self.dead),
        )


def reason_class(reason: str | None) -> str:
    """The class of a dead letter's reason: one of a few words, because the reason may contain any text."""
    text = reason or ""
    if (status := _STATUS.fullmatch(text)) is not None:
        return f"http_{status[1]}"
    if text.startswith("refused as probe"):
        return "refused_as_probe"
    return _CLASSES.get(text, "other")
