import pytest

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
)
from hookline.relay.http.exchange import Failure, FailureKind, LocalFault, Response

# The contract's table, row by row, as sets; whatever stands in no row is "any other status".
DELIVERED = set(range(200, 300))
RENEW = {401, 403, 407, 511}
HOLD = set(range(300, 400)) | {404, 405}
STOP = {410}
RETRY = {408, 425, 429} | (set(range(500, 600)) - {501, 505, 511})
CONFIRM = ({400, 406, 413, 415, 422} | set(range(400, 500)) | {501, 505}) - RENEW - HOLD - STOP - RETRY
OTHER = set(range(100, 600)) - DELIVERED - RENEW - HOLD - STOP - RETRY - CONFIRM


def expected(status: int, *, renewed: bool, confirming: bool) -> PolicyAction:
    reason = f"http {status}"
    rows: list[tuple[set[int], PolicyAction]] = [
        (DELIVERED, Delivered()),
        (RENEW, PauseEndpoint(reason) if renewed else RefreshToken(reason)),
        (HOLD, PauseEndpoint(reason)),
        (STOP, EndpointGone(reason)),
        (CONFIRM, Dead(reason) if confirming else ConfirmOnce(reason)),
        (RETRY | OTHER, Retry(reason)),
    ]
    (row,) = (verdict for statuses, verdict in rows if status in statuses)
    return row


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
def test_every_status(renewed: bool, confirming: bool) -> None:
    """Every status from 100 to 599 has exactly the verdict of its row in the contract."""
    for status in range(100, 600):
        verdict = apply_policy(Response(status), renewed=renewed, confirming=confirming, max_delay=60)
        assert (status, expected(status, renewed=renewed, confirming=confirming)) == (status, verdict)


def test_other_statuses() -> None:
    """A status that no row names, such as 600 or 101, is tried again."""
    assert set(range(100, 200)) == OTHER
    for status in (100, 101, 199, 600, 999):
        verdict = apply_policy(Response(status), renewed=False, confirming=False, max_delay=60)
        assert Retry(f"http {status}") == verdict


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599, 101])
def test_retry_after(status: int) -> None:
    """Retry-After on any answer that is tried again makes the endpoint wait, but no longer than the maximum."""
    waits = [
        apply_policy(Response(status, seconds), renewed=False, confirming=False, max_delay=60)
        for seconds in (0.0, 5.0, 1e9)
    ]
    assert [Retry(f"http {status}", seconds) for seconds in (0.0, 5.0, 60.0)] == waits


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 410])
def test_retry_after_elsewhere(status: int) -> None:
    """Retry-After changes nothing about answers that are not tried again."""
    plain = apply_policy(Response(status), renewed=False, confirming=False, max_delay=60)
    assert plain == apply_policy(Response(status, 5.0), renewed=False, confirming=False, max_delay=60)


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Failure(FailureKind.NETWORK, "connection refused"), Retry("network: connection refused")),
        (Failure(FailureKind.TIMEOUT, "no complete response head within 10 s"), Retry("timeout")),
        (Failure(FailureKind.TLS, "the certificate has expired"), Retry("tls: the certificate has expired")),
        (LocalFault("secret {env: A}: not set"), PauseEndpoint("fault: secret {env: A}: not set")),
    ],
)
def test_no_answer(result: Failure | LocalFault, verdict: PolicyAction, renewed: bool, confirming: bool) -> None:
    """A failure on the way is tried again, a fault of ours holds the endpoint, whatever came before."""
    assert verdict == apply_policy(result, renewed=renewed, confirming=confirming, max_delay=60)
