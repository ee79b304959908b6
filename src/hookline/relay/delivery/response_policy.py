"""What follows from the result of an attempt: the table "Judging an attempt" of the contract, and nothing else."""

from __future__ import annotations

from typing import assert_never

import msgspec

from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, LocalFault, Response


# What came of one attempt, and what follows from it.
class Delivered(msgspec.Struct, frozen=True):
    """The endpoint has it."""


class Retry(msgspec.Struct, frozen=True):
    """Try again by the schedule. `wait`: seconds that the whole endpoint asked to be left alone (Retry-After)."""

    reason: str
    wait: float | None = None


class RefreshToken(msgspec.Struct, frozen=True):
    """Make a fresh token and try once more at once."""

    reason: str


class ConfirmOnce(msgspec.Struct, frozen=True):
    """The event seems to be at fault: one more attempt decides."""

    reason: str


class PauseEndpoint(msgspec.Struct, frozen=True):
    """The endpoint, not the event, is at fault: pause and probe it; the attempt is not used up."""

    reason: str


class EndpointGone(msgspec.Struct, frozen=True):
    """The endpoint is gone until its configuration changes; its events become dead letters."""

    reason: str


class Dead(msgspec.Struct, frozen=True):
    """This event will not be tried again by itself."""

    reason: str


PolicyAction = Delivered | Retry | RefreshToken | ConfirmOnce | PauseEndpoint | EndpointGone | Dead


_NOT_LET_IN = frozenset({401, 403, 407, 511})
_WRONG_PLACE = frozenset({404, 405})
_TRY_LATER = frozenset({408, 425, 429})
_NEVER_WILL = frozenset({501, 505})


def apply_policy(result: ExchangeResult, *, renewed: bool, confirming: bool, max_delay: float) -> PolicyAction:
    """The verdict on one attempt.

    `renewed`: this attempt already went out with a fresh token, after one that was not let in.
    `confirming`: this was the attempt that decides whether the event is at fault.
    `max_delay`: seconds that a Retry-After may hold the endpoint at most.
    """
    match result:
        case Response(status, retry_after):
            wait = None if retry_after is None else min(retry_after, max_delay)
            return _judge_status(status, wait, renewed=renewed, confirming=confirming)
        case Failure(FailureKind.TIMEOUT):
            return Retry("timeout")
        case Failure(kind, detail):
            return Retry(f"{kind}: {detail}")
        case LocalFault(detail):
            return PauseEndpoint(f"fault: {detail}")
        case _:
            assert_never(result)


def _judge_status(status: int, wait: float | None, *, renewed: bool, confirming: bool) -> PolicyAction:
    reason = f"http {status}"
    if 200 <= status < 300:
        return Delivered()
    if status in _NOT_LET_IN:
        return PauseEndpoint(reason) if renewed else RefreshToken(reason)
    if 300 <= status < 400 or status in _WRONG_PLACE:
        return PauseEndpoint(reason)
    if status == 410:
        return EndpointGone(reason)
    if status in _NEVER_WILL or (400 <= status < 500 and status not in _TRY_LATER):
        return Dead(reason) if confirming else ConfirmOnce(reason)
    return Retry(reason, wait)
