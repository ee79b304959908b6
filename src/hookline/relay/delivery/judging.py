"""What follows from the result of an attempt: the table "Judging an attempt" of the contract, and nothing else."""

from __future__ import annotations

from typing import assert_never

from hookline.relay.delivery.outcome import (
    Answer,
    Confirm,
    Dead,
    Delivered,
    Failure,
    FailureKind,
    Fault,
    Hold,
    Renew,
    Result,
    Retry,
    Stop,
    Verdict,
)

_NOT_LET_IN = frozenset({401, 403, 407, 511})
_WRONG_PLACE = frozenset({404, 405})
_TRY_LATER = frozenset({408, 425, 429})
_NEVER_WILL = frozenset({501, 505})


def judge(result: Result, *, renewed: bool, confirming: bool, max_delay: float) -> Verdict:
    """The verdict on one attempt.

    `renewed`: this attempt already went out with a fresh token, after one that was not let in.
    `confirming`: this was the attempt that decides whether the event is at fault.
    `max_delay`: seconds that a Retry-After may hold the endpoint at most.
    """
    match result:
        case Answer(status, retry_after):
            wait = None if retry_after is None else min(retry_after, max_delay)
            return _judge_status(status, wait, renewed=renewed, confirming=confirming)
        case Failure(FailureKind.TIMEOUT):
            return Retry("timeout")
        case Failure(kind, detail):
            return Retry(f"{kind}: {detail}")
        case Fault(detail):
            return Hold(f"fault: {detail}")
        case _:
            assert_never(result)


def _judge_status(status: int, wait: float | None, *, renewed: bool, confirming: bool) -> Verdict:
    reason = f"http {status}"
    if 200 <= status < 300:
        return Delivered()
    if status in _NOT_LET_IN:
        return Hold(reason) if renewed else Renew(reason)
    if 300 <= status < 400 or status in _WRONG_PLACE:
        return Hold(reason)
    if status == 410:
        return Stop(reason)
    if status in _NEVER_WILL or (400 <= status < 500 and status not in _TRY_LATER):
        return Dead(reason) if confirming else Confirm(reason)
    return Retry(reason, wait)
