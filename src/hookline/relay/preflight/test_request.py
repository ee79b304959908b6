"""The event that `check --send` posts: valid, of nobody, and recognizable by its header ``hookline-test: true``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from hookline.model import Channel, FeedbackStatus, Webhook
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
from hookline.relay.event import Event, payload_bytes
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.http.request import Header
from hookline.relay.http.transport import Transport
from hookline.relay.http.transport_factory import TransportFactory
from hookline.relay.payload_v2 import payload_v2_bytes
from hookline.relay.preflight.report import CheckFinding, CheckStep, Grade

MARK: Final[Header] = (b"hookline-test", b"true")
# Names that nobody has: RFC 2606, and the numbers that are kept for fiction.
_RECIPIENTS = {
    Channel.EMAIL: {"email": [{"id": "hookline-test@example.com", "primary": True}]},
    Channel.SMS: {"phone": [{"id": "+15555550123", "primary": True}]},
}
_BODIES = {1: payload_bytes, 2: payload_v2_bytes}


def test_body(webhook: Webhook, name: str, time: str) -> bytes:
    """The payload of an event that this webhook would get, in its structure. `name` tells one from the next."""
    channel = next(one for one in Channel if one in webhook.channels)
    event = Event(
        request_id=name,
        channel=str(channel),
        status=str(next(one for one in FeedbackStatus if one in webhook.events)),
        execution_id=name,
        message_type=min(webhook.message_types),
        identity_map=_RECIPIENTS[channel],
        time=time,
    )
    return _BODIES[webhook.payload](
        event,
        address=webhook.address,
        sandbox_id=webhook.sandbox_id,
        campaign_id=min(webhook.campaigns) if webhook.campaigns else None,
        request_id=name,
    )


class MarkingTransport:
    """Wraps a `Transport`: every request that goes over it says that it is a test."""

    def __init__(self, poster: Transport) -> None:
        self._poster = poster

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        return await self._poster.post([*headers, MARK], attempt, deadline=deadline, signature=signature)

    async def aclose(self) -> None:
        await self._poster.aclose()


def marking(opened: TransportFactory) -> TransportFactory:
    """What makes the same posters, with the mark."""
    return lambda *asked: MarkingTransport(opened(*asked))


# What an endpoint's answer to the test event means, in the words of what the relay would do.
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


def check_response(result: ExchangeResult, *, seconds: float) -> CheckFinding:
    """The finding on the result of a test event's one attempt, which took `seconds`."""
    verdict = apply_policy(result, renewed=True, confirming=True, max_delay=0.0)
    match result:
        case Response(status):
            if isinstance(verdict, Delivered):
                return CheckFinding(CheckStep.HTTP, Grade.OK, f"{status} after {seconds:.2f} s")
            return CheckFinding(CheckStep.HTTP, Grade.FAILED, f"{status}: {_consequence(verdict)}", _hint(status))
        case Failure(kind, detail):
            hint = _SLOW if kind is FailureKind.TIMEOUT else _SERVER
            return CheckFinding(CheckStep.HTTP, Grade.FAILED, f"{detail}: {_consequence(verdict)}", hint)
        case LocalFault(detail):  # ours, and named: the receiver has never heard of it
            return CheckFinding(CheckStep.HTTP, Grade.FAILED, f"{detail}: {_consequence(verdict)}")
        case _:
            assert_never(result)


def _hint(status: int) -> str:
    if 300 <= status < 400:
        return _REDIRECT
    return _HINTS.get(status, _SERVER if status >= 500 else _ELSE)


def _consequence(verdict: PolicyAction) -> str:
    match verdict:
        case Delivered():
            return "the event would be delivered"
        case Retry():
            return "the relay would try again, later and later"
        case RefreshToken() | PauseEndpoint():
            return "the relay would pause the endpoint and probe it"
        case EndpointGone():
            return "the relay would stop, and its events would become dead letters"
        case ConfirmOnce() | Dead():
            return "such events would become dead letters"
        case _:
            assert_never(verdict)
