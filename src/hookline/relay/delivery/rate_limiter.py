"""A rate limit that spaces requests evenly: the generic cell rate algorithm (ITU-T I.371)."""

from __future__ import annotations

from typing import Final

from hookline.units import Rate

# Timers are not exact. A request may be early by this much.
TOLERANCE_SECONDS: Final = 0.01


class RateLimiter:
    """Computes how long the next request must wait. With `rate` None there is no limit.

    All times are seconds of one clock.
    """

    def __init__(self, rate: Rate | None) -> None:
        self._interval = 0.0 if rate is None else rate.per_seconds / rate.count
        self._next = float("-inf")  # no request was admitted yet

    def continue_after(self, earlier: RateLimiter) -> None:
        """Keep the distance to the last request that an earlier limiter admitted."""
        self._next = max(self._next, earlier._next - earlier._interval + self._interval)

    def delay(self, now: float) -> float:
        """Seconds until a request may start. With 0 the caller must start it: the request is counted."""
        if self._interval == 0.0:
            return 0.0
        if (early := self._next - now) > TOLERANCE_SECONDS:
            return early
        self._next = max(self._next, now) + self._interval
        return 0.0
