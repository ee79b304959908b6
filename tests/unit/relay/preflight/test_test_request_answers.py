"""What `check --send` says of the result of its attempt."""

from __future__ import annotations

import pytest

from hookline.relay.http.exchange import Answer, Failure, FailureKind, Fault, Result
from hookline.relay.preflight.test_request import judge_answer


@pytest.mark.parametrize(
    ("result", "hint"),
    [
        (Answer(503), "the receiver's own log"),
        (Failure(FailureKind.NETWORK, "connection reset"), "the receiver's own log"),
        (Failure(FailureKind.TIMEOUT, "no answer within 10 s"), "delivery.timeout"),
        (Fault("secret {env: HOOKLINE_SECRET_X}: not set"), None),
    ],
)
def test_hint_leads_to_where_the_fault_is(result: Result, hint: str | None) -> None:
    """Who has not heard of the attempt has nothing in a log; a fault of ours names itself."""
    found = judge_answer(result, seconds=1.0).hint
    assert found is None if hint is None else hint in (found or "")
