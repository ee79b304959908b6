"""What `check --send` says of the result of its attempt."""

from __future__ import annotations

import pytest

from hookline.relay.checking.answering import judge_answer
from hookline.relay.delivery.outcome import Answer, Failure, FailureKind, Fault, Result


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
