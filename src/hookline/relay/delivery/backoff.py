"""When a delivery is tried again."""

from __future__ import annotations

from hookline.model import RetryPolicy

# Two to this power times a millisecond exceeds every duration there is, so clipping here changes no delay.
_LARGEST_EXPONENT = 60


def next_delay(policy: RetryPolicy, attempts: int, jitter: float) -> float:
    """Seconds to wait after `attempts` attempts (from 1), with `jitter` drawn evenly from [0, 1).

    Exponential from the policy's initial delay to its maximum, with full jitter: a delay anywhere between nothing
    and the ceiling spreads a herd better than one around the ceiling
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    exponent = min(max(attempts - 1, 0), _LARGEST_EXPONENT)
    ceiling = min(policy.max_delay.total_seconds(), policy.initial_delay.total_seconds() * 2.0**exponent)
    return jitter * ceiling
