"""`check`: connect to an endpoint as the relay does, post a test event if asked, and report each step.

A test event is valid, belongs to no person, and has the header ``hookline-test: true``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, assert_never

from hookline.errors import HooklineError
from hookline.model import Channel, FeedbackStatus, Webhook
from hookline.relay.delivery.endpoint import HttpEndpoint
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
from hookline.relay.event import Event
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, LocalFault, Response, one_line
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import Header, parse_target
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.transport import Transport
from hookline.relay.http.transport_factory import TRANSPORTS, transport_factory
from hookline.relay.payload_v2 import PAYLOAD_BYTES
from hookline.relay.preflight.connection_check import ConnectionReport, check_connection
from hookline.relay.preflight.report import CheckFinding, CheckReport, CheckStep, Grade
from hookline.relay.preflight.secret_checks import key_findings, make_tls_context, secret_findings
from hookline.relay.secrets import SecretResolver

# A thousand checks at once would exceed the limits of open files and of name servers.
MAX_CONCURRENT_CHECKS: Final = 16

TEST_HEADER: Final[Header] = (b"hookline-test", b"true")
# RFC 2606 reserves the name, and the number belongs to a range for fiction.
_RECIPIENTS = {
    Channel.EMAIL: {"email": [{"id": "hookline-test@example.com", "primary": True}]},
    Channel.SMS: {"phone": [{"id": "+15555550123", "primary": True}]},
}


_HINTS = {
    401: "check whether the receiver knows the key, the issuer and the audience (`hookline jwks` prints the keys)",
    403: "check whether the receiver admits this sender, and which header it expects",
    404: "correct the path in url",
    405: "the receiver must accept POST: correct url, or the receiver",
    410: "the receiver reports that it is gone for good: correct url",
    413: "raise the receiver's limit for bodies; a payload is a few KiB",
    415: "the receiver must accept application/json",
    429: "the receiver limits its rate: set delivery.rateLimit, or try later",
}
_RECEIVER_LOG = "see the receiver's own log for the reason"
_CLASS_HINTS = {3: "the relay never follows redirects: write the redirect's target into url", 5: _RECEIVER_LOG}
_SLOW = "find out why the receiver answers late; a longer delivery.timeout gives it more time"
_OTHER = "find out what the receiver expects of the payload: `hookline schema payload`"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """The relay's means of delivery. `clock` returns Unix time in seconds, `random` a number of random bytes."""

    resolver: SecretResolver
    rules: NetworkRules
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    ca_file: Path | None = None
    transport: str = "engine"
    proxy: Proxy | None = None
    resolve: Resolve = system_addresses


async def check_all(webhooks: Sequence[Webhook], context: CheckContext, *, send: bool) -> AsyncIterator[CheckReport]:
    """A report for each webhook, in their order. Checks run concurrently, so a slow one does not delay the others."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

    async def check_one(webhook: Webhook) -> CheckReport:
        async with slots:
            try:
                return await check_webhook(webhook, context, send=send)
            except Exception as error:  # a bug of hookline must not prevent the other reports; the last step fails
                detail = one_line(f"unexpected {type(error).__name__}: {error}")
                hint = "this is a fault of hookline: report it with this line"
                return _report(webhook, [CheckFinding(CheckStep.HTTP, Grade.FAILED, detail, hint)])

    running = [asyncio.create_task(check_one(webhook)) for webhook in webhooks]
    try:
        for task in running:
            yield await task
    finally:
        for task in running:
            task.cancel()


def _report(
    webhook: Webhook, findings: Sequence[CheckFinding], connection: ConnectionReport | None = None
) -> CheckReport:
    return CheckReport(
        address=str(webhook.address),
        url=webhook.url,
        findings=tuple(findings),
        addresses=connection.addresses if connection else (),
        certificates=connection.certificates if connection else (),
    )


async def check_webhook(webhook: Webhook, context: CheckContext, *, send: bool) -> CheckReport:
    """Check one webhook: the connection within its timeout and, with `send`, one test event within another timeout.

    A failed step prevents only the test event, and the steps that need its result.
    """
    now = context.clock()
    findings = [*secret_findings(webhook, context.resolver, now), *key_findings(webhook, context.resolver, now)]
    tls_context, tls_findings = make_tls_context(webhook, context.resolver, context.ca_file)
    findings += tls_findings
    try:
        target = parse_target(webhook.url)
    except HooklineError as error:
        findings.append(CheckFinding(CheckStep.DNS, Grade.FAILED, error.message, error.hint))
        return _report(webhook, findings)
    connection = await check_connection(
        target,
        tls_context,
        rules=context.rules,
        resolve=context.resolve,
        proxy=context.proxy,
        deadline=webhook.delivery.timeout.total_seconds(),
        now=datetime.fromtimestamp(now, UTC),
    )
    findings += connection.findings
    if send and all(finding.grade is not Grade.FAILED for finding in findings):
        findings.append(await _send_test_event(webhook, context))
    return _report(webhook, findings, connection)


async def _send_test_event(webhook: Webhook, context: CheckContext) -> CheckFinding:
    """Post one test event with the same endpoint class that the relay uses."""
    now = context.clock()
    delivery_id = context.random(16)
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    body = test_body(webhook, f"hookline-test-{delivery_id.hex()}", moment)
    factory = transport_factory(TRANSPORTS[context.transport], context.rules, context.clock, context.proxy)
    endpoint = HttpEndpoint(
        webhook,
        resolver=context.resolver,
        clock=context.clock,
        random=context.random,
        transport_factory=lambda *arguments: _TestTransport(factory(*arguments)),
        ca_file=context.ca_file,
    )
    started = time.monotonic()
    try:
        result = await endpoint.post(Attempt(delivery_id, body, 1, now, moment))
    finally:
        await endpoint.aclose()
    return check_response(result, seconds=time.monotonic() - started)


def test_body(webhook: Webhook, request_id: str, time: str) -> bytes:
    """The payload of an event that this webhook selects, in its structure. `request_id` makes it unique."""
    channel = next(one for one in Channel if one in webhook.channels)
    event = Event(
        request_id=request_id,
        channel=str(channel),
        status=str(next(one for one in FeedbackStatus if one in webhook.events)),
        execution_id=request_id,
        message_type=min(webhook.message_types),
        identity_map=_RECIPIENTS[channel],
        time=time,
    )
    return PAYLOAD_BYTES[webhook.payload](
        event,
        address=webhook.address,
        sandbox_id=webhook.sandbox_id,
        campaign_id=min(webhook.campaigns) if webhook.campaigns else None,
        request_id=request_id,
    )


class _TestTransport(Transport):
    """Wraps a `Transport`, and adds TEST_HEADER to every request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> ExchangeResult:
        return await self._transport.post([*headers, TEST_HEADER], attempt, deadline=deadline, signature=signature)

    async def aclose(self) -> None:
        await self._transport.aclose()


def check_response(result: ExchangeResult, *, seconds: float) -> CheckFinding:
    """The finding on the result of a test event: the relay's next action, and a hint. `seconds`: the duration."""
    action = apply_policy(result, renewed=True, confirming=True, max_delay_seconds=0.0)
    hint: str | None = None
    match result:
        case Response(status):
            if isinstance(action, Delivered):
                return CheckFinding(CheckStep.HTTP, Grade.OK, f"{status} after {seconds:.2f} s")
            detail, hint = str(status), _HINTS.get(status) or _CLASS_HINTS.get(min(status // 100, 5), _OTHER)
        case Failure(kind, detail):
            hint = _SLOW if kind is FailureKind.TIMEOUT else _RECEIVER_LOG
        case LocalFault(detail):  # the detail has the hint, and the receiver got no request
            pass
        case _:
            assert_never(result)
    return CheckFinding(CheckStep.HTTP, Grade.FAILED, f"{detail}: {_consequence(action)}", hint)


def _consequence(action: PolicyAction) -> str:
    match action:
        case Delivered():
            return "the event would be delivered"
        case Retry():
            return "the relay would retry with growing delays"
        case RefreshToken() | PauseEndpoint():
            return "the relay would pause the endpoint and probe it"
        case EndpointGone():
            return "the relay would stop, and its events would become dead letters"
        case ConfirmOnce() | Dead():
            return "such events would become dead letters"
        case _:
            assert_never(action)
