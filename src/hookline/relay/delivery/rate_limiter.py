"""A rate limit, spread evenly: the generic cell rate algorithm (ITU-T I.371), with a small tolerance for timers."""

from __future__ import annotations

from typing import Final

from hookline.units import Rate

TOLERANCE_SECONDS: Final = 0.01


class RateLimiter:
    """Says how long to wait before the next request. `rate` None is no limit. Times are seconds of one clock."""

    def __init__(self, rate: Rate | None) -> None:
        self._interval = 0.0 if rate is None else rate.per_seconds / rate.count
        self._next = 0.0

    def delay(self, now: float) -> float:
        """Seconds until a request may start; 0 takes the turn."""
        if self._interval == 0.0:
            return 0.0
        if (early := self._next - now) > TOLERANCE_SECONDS:
            return early
        self._next = max(self._next, now) + self._interval
        return 0.0
