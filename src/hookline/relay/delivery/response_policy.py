"""The response policy: maps the result of an attempt to the relay's action, and computes the delay of a retry.

docs/reference/relay.md shows the table in its section "Response policy".
"""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from hookline.model import RetryPolicy
from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, LocalFault, Response


class Delivered(msgspec.Struct, frozen=True):
    """The endpoint accepted the event."""


class Retry(msgspec.Struct, frozen=True):
    """Try again after the backoff. `wait`: seconds for which the endpoint asked for no requests (Retry-After)."""

    reason: str
    wait: float | None = None


class RefreshToken(msgspec.Struct, frozen=True):
    """Create a fresh token and make one more attempt at once."""

    reason: str


class ConfirmOnce(msgspec.Struct, frozen=True):
    """The event seems to be the cause of the refusal. A confirming attempt at once decides."""

    reason: str


class PauseEndpoint(msgspec.Struct, frozen=True):
    """The endpoint is the cause, not the event: pause and probe it. The attempt does not count as a try."""

    reason: str


class EndpointGone(msgspec.Struct, frozen=True):
    """The endpoint is gone until its configuration changes. Its events become dead letters."""

    reason: str


class Dead(msgspec.Struct, frozen=True):
    """The event becomes a dead letter. The relay does not try it again on its own."""

    reason: str


PolicyAction = Delivered | Retry | RefreshToken | ConfirmOnce | PauseEndpoint | EndpointGone | Dead

# The names of the actions in log lines and metrics.
OUTCOMES: Final[dict[type[PolicyAction], str]] = {
    Delivered: "delivered",
    Retry: "retry",
    RefreshToken: "refresh_token",
    ConfirmOnce: "confirm_once",
    PauseEndpoint: "pause_endpoint",
    EndpointGone: "endpoint_gone",
    Dead: "dead",
}

_UNAUTHORIZED: Final = frozenset({401, 403, 407, 511})
_WRONG_URL: Final = frozenset({404, 405})
_TEMPORARY: Final = frozenset({408, 421, 425, 429})
_UNSUPPORTED: Final = frozenset({501, 505})
# After this number of refusals in a row, without a success, the endpoint is the cause and not the events.
MAX_REFUSALS_IN_A_ROW: Final = 20
# Two to this power times a millisecond exceeds every duration, so this limit changes no delay.
_MAX_EXPONENT: Final = 60


def apply_policy(
    result: ExchangeResult,
    *,
    renewed: bool,
    confirming: bool,
    max_delay_seconds: float,
    refusals_in_a_row: int = 0,
) -> PolicyAction:
    """Choose the action for the result of one attempt.

    Args:
        result: The result of the attempt.
        renewed: Whether the attempt used a fresh token because the endpoint refused the one before.
        confirming: Whether this was the confirming attempt.
        refusals_in_a_row: The number of events that became dead letters since the endpoint last accepted one.
        max_delay_seconds: The longest wait that a Retry-After can cause.

    Returns:
        The action; after a confirming attempt with a fresh token never RefreshToken or ConfirmOnce.
    """
    match result:
        case Response(status, retry_after):
            wait = None if retry_after is None else min(retry_after, max_delay_seconds)
            action = _apply_to_status(status, wait, renewed=renewed, confirming=confirming)
            if isinstance(action, Dead) and refusals_in_a_row + 1 >= MAX_REFUSALS_IN_A_ROW:
                return PauseEndpoint(action.reason)
            return action
        case Failure(FailureKind.TIMEOUT):
            return Retry("timeout")
        case Failure(kind, detail):
            return Retry(f"{kind}: {detail}")
        case LocalFault(detail):
            return PauseEndpoint(f"fault: {detail}")
        case _:
            assert_never(result)


def _apply_to_status(status: int, wait: float | None, *, renewed: bool, confirming: bool) -> PolicyAction:
    reason = f"http {status}"
    if 200 <= status < 300:
        return Delivered()
    if status in _UNAUTHORIZED:
        return PauseEndpoint(reason) if renewed else RefreshToken(reason)
    if 300 <= status < 400 or status in _WRONG_URL:
        return PauseEndpoint(reason)
    if status == 410:
        return EndpointGone(reason)
    # With Retry-After, a 4xx is about the moment and not about the event.
    if status in _UNSUPPORTED or (400 <= status < 500 and status not in _TEMPORARY and wait is None):
        return Dead(reason) if confirming else ConfirmOnce(reason)
    return Retry(reason, wait)


def retry_delay(policy: RetryPolicy, tries: int, jitter: float) -> float:
    """Seconds of backoff after `tries` tries (from 1), with `jitter` drawn evenly from [0, 1).

    The backoff is exponential from the policy's initial delay to its maximum, with full jitter: a delay between zero
    and the ceiling spreads simultaneous retries better than a delay around the ceiling
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """
    exponent = min(max(tries - 1, 0), _MAX_EXPONENT)
    ceiling = min(policy.max_delay.total_seconds(), policy.initial_delay.total_seconds() * 2.0**exponent)
    return jitter * ceiling
