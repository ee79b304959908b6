"""What the relay has done since it started, counted for metrics: by webhook, in memory, a few additions an event.

The account that must never be wrong is the spool's tally; these only tell how it came about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import Final

from hookline.model import Address
from hookline.observe.snapshot import Counts, LatencyStatus
from hookline.relay.delivery.response_policy import (
    ConfirmOnce,
    Dead,
    Delivered,
    EndpointGone,
    PauseEndpoint,
    PolicyAction,
    RefreshToken,
    Retry,
)

# Seconds from reading (or replay) to the end, whatever it was: from "at once" to the longest retries.
LATENCY_BOUNDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)
OUTCOMES: Final[dict[type[PolicyAction], str]] = {
    kind: kind.__name__.lower()
    for kind in (Delivered, Retry, RefreshToken, ConfirmOnce, PauseEndpoint, EndpointGone, Dead)
}

_STATUS: Final = re.compile(r"http ([1-5][0-9][0-9])")
_CLASSES: Final = {"expired": "expired", "webhook deleted": "webhook_deleted", "stopped": "stopped"}


class Latency:
    """A histogram: how many took at most each of LATENCY_BOUNDS seconds, the last one being all the others."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Of one delivery that has come to its end; a clock that was set makes no negative ones."""
        self.buckets[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.seconds += max(0.0, seconds)


class WebhookCounters:
    """Of one webhook: attempts by outcome (a word of OUTCOMES), and how long deliveries took to their end."""

    __slots__ = ("attempts", "latency")

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.latency = Latency()


class Counters:
    """Filled from the event loop alone; a webhook's counts go on when its configuration changes. `dead` is by the
    class of the reason."""

    def __init__(self) -> None:
        self.by_webhook: dict[Address, WebhookCounters] = {}
        self.dead: Counter[str] = Counter()

    def of(self, address: Address) -> WebhookCounters:
        return self.by_webhook.setdefault(address, WebhookCounters())

    def died(self, reason: str | None, deliveries: int = 1) -> None:
        self.dead[reason_class(reason)] += deliveries

    def copied(self) -> Counts:
        """All of it at this moment."""
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
    """One of a small number of words for the reason of a dead letter, whose text may hold anything."""
    text = reason or ""
    if (status := _STATUS.fullmatch(text)) is not None:
        return f"http_{status[1]}"
    if text.startswith("refused as probe"):
        return "refused_as_probe"
    return _CLASSES.get(text, "other")
