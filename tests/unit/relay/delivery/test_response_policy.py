import pytest

from hookline.relay.delivery.response_policy import Confirm, Dead, Delivered, Hold, Renew, Retry, Stop, Verdict, judge
from hookline.relay.http.exchange import Answer, Failure, FailureKind, Fault

# The contract's table, row by row, as sets; whatever stands in no row is "any other status".
DELIVERED = set(range(200, 300))
RENEW = {401, 403, 407, 511}
HOLD = set(range(300, 400)) | {404, 405}
STOP = {410}
RETRY = {408, 425, 429} | (set(range(500, 600)) - {501, 505, 511})
CONFIRM = ({400, 406, 413, 415, 422} | set(range(400, 500)) | {501, 505}) - RENEW - HOLD - STOP - RETRY
OTHER = set(range(100, 600)) - DELIVERED - RENEW - HOLD - STOP - RETRY - CONFIRM


def expected(status: int, *, renewed: bool, confirming: bool) -> Verdict:
    reason = f"http {status}"
    rows: list[tuple[set[int], Verdict]] = [
        (DELIVERED, Delivered()),
        (RENEW, Hold(reason) if renewed else Renew(reason)),
        (HOLD, Hold(reason)),
        (STOP, Stop(reason)),
        (CONFIRM, Dead(reason) if confirming else Confirm(reason)),
        (RETRY | OTHER, Retry(reason)),
    ]
    (row,) = (verdict for statuses, verdict in rows if status in statuses)
    return row


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
def test_every_status(renewed: bool, confirming: bool) -> None:
    """Every status from 100 to 599 has exactly the verdict of its row in the contract."""
    for status in range(100, 600):
        verdict = judge(Answer(status), renewed=renewed, confirming=confirming, max_delay=60)
        assert (status, expected(status, renewed=renewed, confirming=confirming)) == (status, verdict)


def test_other_statuses() -> None:
    """A status that no row names, such as 600 or 101, is tried again."""
    assert set(range(100, 200)) == OTHER
    for status in (100, 101, 199, 600, 999):
        verdict = judge(Answer(status), renewed=False, confirming=False, max_delay=60)
        assert Retry(f"http {status}") == verdict


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599, 101])
def test_retry_after(status: int) -> None:
    """Retry-After on any answer that is tried again makes the endpoint wait, but no longer than the maximum."""
    waits = [
        judge(Answer(status, seconds), renewed=False, confirming=False, max_delay=60) for seconds in (0.0, 5.0, 1e9)
    ]
    assert [Retry(f"http {status}", seconds) for seconds in (0.0, 5.0, 60.0)] == waits


@pytest.mark.parametrize("status", [200, 301, 400, 401, 404, 410])
def test_retry_after_elsewhere(status: int) -> None:
    """Retry-After changes nothing about answers that are not tried again."""
    plain = judge(Answer(status), renewed=False, confirming=False, max_delay=60)
    assert plain == judge(Answer(status, 5.0), renewed=False, confirming=False, max_delay=60)


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("confirming", [False, True])
@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Failure(FailureKind.NETWORK, "connection refused"), Retry("network: connection refused")),
        (Failure(FailureKind.TIMEOUT, "no complete answer head within 10 s"), Retry("timeout")),
        (Failure(FailureKind.TLS, "the certificate has expired"), Retry("tls: the certificate has expired")),
        (Fault("secret {env: A}: not set"), Hold("fault: secret {env: A}: not set")),
    ],
)
def test_no_answer(result: Failure | Fault, verdict: Verdict, renewed: bool, confirming: bool) -> None:
    """A failure on the way is tried again, a fault of ours holds the endpoint, whatever came before."""
    assert verdict == judge(result, renewed=renewed, confirming=confirming, max_delay=60)
