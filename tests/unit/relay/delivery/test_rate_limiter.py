"""The rate limit of one endpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.delivery.rate_limiter import TOLERANCE_SECONDS, RateLimiter
from hookline.units import Rate


def test_no_rate_never_waits() -> None:
    """Without a limit every request may start at once."""
    pace = RateLimiter(None)
    assert [0.0] * 1000 == [pace.delay(0.0) for _ in range(1000)]


def test_requests_are_spread_evenly() -> None:
    """Ten a second are one every 100 ms, not ten at once."""
    pace = RateLimiter(Rate(10, 1))
    assert (0.0, 0.1) == (pace.delay(5.0), round(pace.delay(5.0), 6))


def test_asking_does_not_take_a_turn_that_is_not_given() -> None:
    """A request that must wait and asks again does not wait longer."""
    pace = RateLimiter(Rate(1, 1))
    pace.delay(0.0)
    assert [1.0, 0.5, 0.0] == [pace.delay(0.0), pace.delay(0.5), pace.delay(1.0)]


@given(st.integers(1, 500), st.lists(st.floats(0, 0.01), min_size=50, max_size=300))
def test_never_more_than_the_rate(count: int, gaps: list[float]) -> None:
    """For calls in any rhythm, the requests never exceed the rate, the first one and the tolerance."""
    pace = RateLimiter(Rate(count, 1))
    now, taken = 0.0, 0
    for gap in gaps:
        now += gap
        taken += pace.delay(now) == 0.0
    assert taken <= (now + TOLERANCE_SECONDS) * count + 1 + 1e-6


@pytest.mark.parametrize("earlier", [None, Rate(10, 1)])
def test_a_limiter_that_admitted_nothing_passes_no_wait_on(earlier: Rate | None) -> None:
    """Ten seconds after the start a webhook gets a slow limit, and had no request yet: the first one goes out."""
    pace = RateLimiter(Rate(1, 3600))
    pace.continue_after(RateLimiter(earlier))
    assert 0.0 == pace.delay(10.0)


def test_the_next_limit_holds_after_the_last_request() -> None:
    """A request at 100 s, then another limit: its next request follows after its own interval."""
    earlier, pace = RateLimiter(Rate(10, 1)), RateLimiter(Rate(1, 60))
    earlier.delay(100.0)
    pace.continue_after(earlier)
    assert 59.0 == round(pace.delay(101.0), 6)
