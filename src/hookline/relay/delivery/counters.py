"""Counts of the relay's work since it started, by webhook and in memory, for metrics and the ring of minutes.

The accounting that must be exact is the tally of the spool. These counts explain how it came about.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from hookline.model import Address
from hookline.observe.snapshot import NO_RESPONSE, Counts, LatencyStatus

# Upper bounds of the histogram in seconds, from immediate results to the longest retries.
LATENCY_BOUNDS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0)

# Upper bounds of the durations of attempts in seconds, from 0.5 ms to 11 minutes. Each is a quarter above the one
# before, so a duration that is read from a bucket is at most an eighth off.
DURATION_BOUNDS: Final = tuple(0.0005 * 1.25**n for n in range(64))

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


class Durations(NamedTuple):
    """The durations of attempts: their median, the one that 99 % did not exceed, and their sum, in seconds."""

    median: float | None = None
    p99: float | None = None
    sum: float = 0.0


class WebhookCounters:
    """Counts of one webhook: attempts by outcome (response_policy.OUTCOMES), and the time until the result.

    `responses` counts attempts by the hundreds of their HTTP status, those without a response under 0.
    `durations` counts attempts by bucket of DURATION_BOUNDS, until `take_durations`.
    """

    __slots__ = ("attempts", "durations", "latency", "responses")

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.responses: Counter[int] = Counter()
        self.latency = Latency()
        self.durations: defaultdict[int, int] = defaultdict(int)

    def add_attempt(self, outcome: str, seconds: float, http: int | None) -> None:
        self.attempts[outcome] += 1
        self.responses[0 if http is None else http // 100] += 1
        self.durations[bisect_left(DURATION_BOUNDS, seconds)] += 1

    def take_durations(self) -> Durations:
        """The durations since the last call."""
        buckets, self.durations = sorted(self.durations.items()), defaultdict(int)
        if not buckets:
            return Durations()
        number = sum(n for _, n in buckets)
        total = sum(_middle(bucket) * n for bucket, n in buckets)
        return Durations(_at(buckets, (number + 1) // 2), _at(buckets, number - number // 100), total)


def _middle(bucket: int) -> float:
    """The duration in the middle of a bucket. The last one has no upper bound."""
    return 0.9 * DURATION_BOUNDS[min(bucket, len(DURATION_BOUNDS) - 1)]


def _at(buckets: Sequence[tuple[int, int]], place: int) -> float:
    """The duration at a place of the order, from 1 on."""
    ends = accumulate(n for _, n in buckets)
    return next(_middle(bucket) for (bucket, _), end in zip(buckets, ends, strict=True) if end >= place)


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
            responses={
                (str(address), f"{hundreds}xx" if hundreds else NO_RESPONSE): n
                for address, one in self.by_webhook.items()
                for hundreds, n in one.responses.items()
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
