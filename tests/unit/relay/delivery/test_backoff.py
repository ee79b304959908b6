from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from hookline.model import RetryPolicy
from hookline.relay.delivery.backoff import next_delay

durations = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=10_000))
policies = st.builds(
    lambda initial, maximum: RetryPolicy(initial_delay=initial, max_delay=maximum), durations, durations
)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
counts = st.integers(min_value=1, max_value=10**9)


@given(policies, counts, jitters)
def test_bounds(policy: RetryPolicy, attempts: int, jitter: float) -> None:
    """No delay is negative, and none reaches the maximum."""
    assert 0 <= next_delay(policy, attempts, jitter) <= policy.max_delay.total_seconds()


@given(policies, counts, jitters)
def test_grows(policy: RetryPolicy, attempts: int, jitter: float) -> None:
    """With the same jitter a later attempt never waits shorter, and at most twice as long."""
    before, after = next_delay(policy, attempts, jitter), next_delay(policy, attempts + 1, jitter)
    assert before <= after <= 2 * before


@given(policies, counts, jitters, jitters)
def test_jitter_is_full(policy: RetryPolicy, attempts: int, one: float, other: float) -> None:
    """The delay is in proportion to the jitter: it spreads from nothing to the ceiling."""
    delays = [next_delay(policy, attempts, jitter) for jitter in sorted((one, other))]
    assert sorted(delays) == delays
    assert next_delay(policy, attempts, 0.0) == 0


def test_schedule() -> None:
    """One second doubles with each attempt until the hour is reached, and then stays there."""
    expected = [0.5, 1.0, 2.0, 1024.0, 1800.0, 1800.0, 1800.0]
    delays = [next_delay(RetryPolicy(), attempts, 0.5) for attempts in (1, 2, 3, 12, 13, 14, 10**6)]
    assert expected == delays
