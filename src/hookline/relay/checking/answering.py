"""What an endpoint's answer to the test event means, in the words of what the relay would do."""

from __future__ import annotations

from typing import assert_never

from hookline.relay.checking.report import Finding, Grade, Step
from hookline.relay.delivery.judging import judge
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

_HINTS = {
    401: "see that the receiver knows the key, the issuer and the audience (`hookline jwks` prints the keys)",
    403: "see that the receiver lets this sender in, and which header it expects",
    404: "correct the path in url",
    405: "the receiver must accept POST: correct url, or the receiver",
    410: "the receiver says that it is gone for good: correct url",
    413: "raise the receiver's limit for bodies; a payload is a few KiB",
    415: "the receiver must accept application/json",
    429: "the receiver has had enough for now: set delivery.rateLimit, or try later",
}
_REDIRECT = "redirects are never followed: write the URL that it leads to into url"
_SERVER = "the receiver's own log says why"
_SLOW = "see what the receiver waits for before it answers; delivery.timeout gives it longer"
_ELSE = "see what the receiver expects of the payload: `hookline schema payload`"


def judge_answer(result: Result, *, seconds: float) -> Finding:
    """The finding on the result of a test event's one attempt, which took `seconds`."""
    verdict = judge(result, renewed=True, confirming=True, max_delay=0.0)
    match result:
        case Answer(status):
            if isinstance(verdict, Delivered):
                return Finding(Step.HTTP, Grade.OK, f"{status} after {seconds:.2f} s")
            return Finding(Step.HTTP, Grade.FAILED, f"{status}: {_consequence(verdict)}", _hint(status))
        case Failure(kind, detail):
            hint = _SLOW if kind is FailureKind.TIMEOUT else _SERVER
            return Finding(Step.HTTP, Grade.FAILED, f"{detail}: {_consequence(verdict)}", hint)
        case Fault(detail):  # ours, and named: the receiver has never heard of it
            return Finding(Step.HTTP, Grade.FAILED, f"{detail}: {_consequence(verdict)}")
        case _:
            assert_never(result)


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return _REDIRECT
    return _HINTS.get(status, _SERVER if status >= 500 else _ELSE)


def _consequence(verdict: Verdict) -> str:
    match verdict:
        case Delivered():
            return "the event would be delivered"
        case Retry():
            return "the relay would try again, later and later"
        case Renew() | Hold():
            return "the relay would pause the endpoint and probe it"
        case Stop():
            return "the relay would stop, and its events would become dead letters"
        case Confirm() | Dead():
            return "such events would become dead letters"
        case _:
            assert_never(verdict)
