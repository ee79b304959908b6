"""The finding of `check --send` on the result of its attempt."""

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
def test_the_hint_leads_to_the_cause(result: ExchangeResult, hint: str | None) -> None:
    """The hint leads to the receiver's log only if the receiver got the attempt. A local fault needs no hint."""
    found = check_response(result, seconds=1.0).hint
    assert found is None if hint is None else hint in (found or "")
