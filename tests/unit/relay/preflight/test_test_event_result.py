"""What `check --send` says of the result of its attempt."""

from __future__ import annotations

import pytest

from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.preflight.checks import check_response


@pytest.mark.parametrize(
    ("result", "hint"),
    [
        (Response(503), "the receiver's own log"),
        (Failure(FailureKind.NETWORK, "connection reset"), "the receiver's own log"),
        (Failure(FailureKind.TIMEOUT, "no answer within 10 s"), "delivery.timeout"),
        (LocalFault("secret {env: HOOKLINE_SECRET_X}: not set"), None),
    ],
)
def test_hint_leads_to_where_the_fault_is(result: ExchangeResult, hint: str | None) -> None:
    """Who has not heard of the attempt has nothing in a log; a fault of ours names itself."""
    found = check_response(result, seconds=1.0).hint
    assert found is None if hint is None else hint in (found or "")
