"""The response policy, row by row, and the backoff of a retry."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.model import RetryPolicy
from hookline.relay.delivery.response_policy import (
    ConfirmOnce,
    Dead,
    Delivered,
    EndpointGone,
    PauseEndpoint,
    PolicyAction,
    RefreshToken,
    Retry,
    apply_policy,
    retry_delay,
)
from hookline.relay.http.exchange import Failure, FailureKind, LocalFault, Response

# The rows of the table as sets. OTHER has the statuses of no row.
DELIVERED = set(range(200, 300))
REFRESH = {401, 403, 407, 511}
PAUSE = set(range(300, 400)) | {404, 405}
GONE = {410}
RETRY = {408, 421, 425, 429} | (set(range(500, 600)) - {501, 505, 511})
CONFIRM = ({400, 406, 413, 415, 422} | set(range(400, 500)) | {501, 505}) - REFRESH - PAUSE - GONE - RETRY
OTHER = set(range(100, 600)) - DELIVERED - REFRESH - PAUSE - GONE - RETRY - CONFIRM


def expected(status: int, *, renewed: bool, confirming: bool) -> PolicyAction:
    reason = f"http {status}"
    rows: list[tuple[set[int], PolicyAction]] = [
        (DELIVERED, Delivered()),
        (REFRESH, PauseEndpoint(reason) if renewed else RefreshToken(reason)),
        (PAUSE, PauseEndpoint(reason)),
        (GONE, EndpointGone(reason)),
        (CONFIRM, Dead(reason) if confirming else ConfirmOnce(reason)),
        (RETRY | OTHER, Retry(reason)),
    ]
    (row,) = (action for statuses, action in rows if status in statuses)
    return row


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
def test_every_status(renewed: bool, confirming: bool) -> None:
    """Every status from 100 to 599 has exactly the action of its row."""
    for status in range(100, 600):
        action = apply_policy(Response(status), renewed=renewed, confirming=confirming, max_delay_seconds=60)
        assert (status, expected(status, renewed=renewed, confirming=confirming)) == (status, action)


def test_other_statuses() -> None:
    """The relay retries after a status that no row names, such as 600 or 101."""
    assert set(range(100, 200)) == OTHER
    for status in (100, 101, 199, 600, 999):
        action = apply_policy(Response(status), renewed=False, confirming=False, max_delay_seconds=60)
        assert Retry(f"http {status}") == action


@pytest.mark.parametrize("status", [408, 421, 425, 429, 400, 413, 422, 499, 500, 503, 599, 101])
def test_retry_after(status: int) -> None:
    """Retry-After on a response that causes a retry pauses the endpoint, at most for the longest delay."""
    waits = [
        apply_policy(Response(status, seconds), renewed=False, confirming=False, max_delay_seconds=60)
        for seconds in (0.0, 5.0, 1e9)
    ]
    assert [Retry(f"http {status}", seconds) for seconds in (0.0, 5.0, 60.0)] == waits


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 405, 407, 410, 501, 505, 511])
def test_retry_after_elsewhere(status: int) -> None:
    """Retry-After has no effect on a response that is about the endpoint or its configuration."""
    plain = apply_policy(Response(status), renewed=False, confirming=False, max_delay_seconds=60)
    assert plain == apply_policy(Response(status, 5.0), renewed=False, confirming=False, max_delay_seconds=60)


@pytest.mark.parametrize("status", [400, 406, 413, 415, 422, 501])
def test_many_refusals_in_a_row(status: int) -> None:
    """The twentieth event that an endpoint refuses in a row is not the cause: the endpoint is paused and probed."""
    actions = [
        apply_policy(
            Response(status), renewed=False, confirming=True, max_delay_seconds=60, refusals_in_a_row=refusals
        )
        for refusals in (0, 18, 19, 20, 1000)
    ]
    assert [Dead(f"http {status}")] * 2 + [PauseEndpoint(f"http {status}")] * 3 == actions


@pytest.mark.parametrize("status", [200, 401, 404, 410, 500])
def test_many_refusals_change_nothing_else(status: int) -> None:
    """The number of refusals in a row decides nothing but the fate of a refused event."""
    plain = apply_policy(Response(status), renewed=True, confirming=True, max_delay_seconds=60)
    assert plain == apply_policy(
        Response(status), renewed=True, confirming=True, max_delay_seconds=60, refusals_in_a_row=100
    )


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
@pytest.mark.parametrize(
    ("result", "action"),
    [
        (Failure(FailureKind.NETWORK, "connection refused"), Retry("network: connection refused")),
        (Failure(FailureKind.TIMEOUT, "no complete response head within 10 s"), Retry("timeout")),
        (Failure(FailureKind.TLS, "the certificate has expired"), Retry("tls: the certificate has expired")),
        (LocalFault("secret {env: A}: not set"), PauseEndpoint("fault: secret {env: A}: not set")),
    ],
)
def test_no_answer(result: Failure | LocalFault, action: PolicyAction, renewed: bool, confirming: bool) -> None:
    """A network failure causes a retry. A local fault pauses the endpoint. Earlier attempts do not matter."""
    assert action == apply_policy(result, renewed=renewed, confirming=confirming, max_delay_seconds=60)


durations = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=10_000))
policies = st.builds(
    lambda initial, maximum: RetryPolicy(initial_delay=initial, max_delay=maximum), durations, durations
)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)
counts = st.integers(min_value=1, max_value=10**9)


@given(policies, counts, jitters)
def test_delay_is_bounded(policy: RetryPolicy, tries: int, jitter: float) -> None:
    """No delay is negative, and none reaches the maximum."""
    assert 0 <= retry_delay(policy, tries, jitter) <= policy.max_delay.total_seconds()


@given(policies, counts, jitters)
def test_delay_grows(policy: RetryPolicy, tries: int, jitter: float) -> None:
    """With the same jitter a later attempt never waits shorter, and at most twice as long."""
    before, after = retry_delay(policy, tries, jitter), retry_delay(policy, tries + 1, jitter)
    assert before <= after <= 2 * before


@given(policies, counts, jitters, jitters)
def test_jitter_is_full(policy: RetryPolicy, tries: int, one: float, other: float) -> None:
    """The delay is in proportion to the jitter: it spreads from nothing to the ceiling."""
    delays = [retry_delay(policy, tries, jitter) for jitter in sorted((one, other))]
    assert sorted(delays) == delays
    assert retry_delay(policy, tries, 0.0) == 0


def test_schedule() -> None:
    """One second doubles with each attempt until the hour is reached, and then stays there."""
    expected = [0.5, 1.0, 2.0, 1024.0, 1800.0, 1800.0, 1800.0]
    delays = [retry_delay(RetryPolicy(), tries, 0.5) for tries in (1, 2, 3, 12, 13, 14, 10**6)]
    assert expected == delays
