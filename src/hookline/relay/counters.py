"""What the relay has done since it started, counted for metrics: by webhook, in memory, a few additions an event.

The account that must never be wrong is the spool's tally; these only tell how it came about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import Final

from hookline.model import Address
from hookline.observe.report import Counts, LatencyFacts
from hookline.relay.delivery.outcome import Verdict
from hookline.relay.spool.port import Settlement
from hookline.relay.spool.schema import State

# Seconds from reading (or replay) to the end, whatever it was: from "at once" to the longest retries.
LATENCY_BOUNDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)

_STATUS: Final = re.compile(r"http ([1-5][0-9][0-9])")
_CLASSES: Final = {"expired": "expired", "webhook deleted": "webhook_deleted", "stopped": "stopped"}


class Latency:
    """A histogram: how many took at most each of LATENCY_BOUNDS seconds, the last one being all the others."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(LATENCY_BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(LATENCY_BOUNDS, seconds)] += 1
        self.seconds += seconds


class Counters:
    """Filled from the event loop alone. `attempts` is by webhook and outcome (the verdict's name in lower case),
    `dead` by the class of the reason."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[Address, str]] = Counter()
        self.latency: dict[Address, Latency] = {}
        self.dead: Counter[str] = Counter()

    def attempted(self, address: Address, verdict: Verdict) -> None:
        self.attempts[address, type(verdict).__name__.lower()] += 1

    def settled(self, address: Address, settlement: Settlement, seconds: float) -> None:
        """`seconds` since it was read or replayed."""
        if settlement.state is State.DEAD:
            self.died(settlement.reason)
        if settlement.state is not State.PENDING:
            latency = self.latency.get(address)
            if latency is None:
                latency = self.latency[address] = Latency()
            latency.add(max(0.0, seconds))

    def died(self, reason: str | None, deliveries: int = 1) -> None:
        self.dead[reason_class(reason)] += deliveries

    def copied(self) -> Counts:
        """All of it at this moment."""
        return Counts(
            attempts={(str(address), outcome): n for (address, outcome), n in self.attempts.items()},
            latency={
                str(address): LatencyFacts(tuple(one.buckets), one.seconds) for address, one in self.latency.items()
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
