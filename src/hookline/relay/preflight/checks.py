"""`check`: go the relay's own way to an endpoint, and say at which step it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hookline.errors import HooklineError
from hookline.model import Webhook
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt, one_line
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.request import parse_target
from hookline.relay.http.resolver import Resolve, system_addresses
from hookline.relay.http.transport_factory import transport_factory_by_name
from hookline.relay.preflight.connection_check import check_connection
from hookline.relay.preflight.report import CheckFinding, CheckReport, CheckStep, Grade
from hookline.relay.preflight.secret_checks import key_findings, make_context, secret_findings
from hookline.relay.preflight.test_request import check_response, marking, test_body
from hookline.relay.secrets import SecretResolver

# A thousand webhooks at once would run into limits of files and of name servers before they told anything.
MAX_CONCURRENT_CHECKS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What the relay has to deliver with. `clock` gives Unix time in seconds, `random` that many random bytes."""

    resolver: SecretResolver
    rules: NetworkRules
    clock: Callable[[], float]
    random: Callable[[int], bytes]
    ca_file: Path | None = None
    transport: str = "engine"
    proxy: Proxy | None = None
    resolve: Resolve = system_addresses


async def check_all(webhooks: Sequence[Webhook], means: CheckContext, *, send: bool) -> AsyncIterator[CheckReport]:
    """A report for each, in their order, some at a time; one that hangs costs its own timeout and nobody else's."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_CHECKS)

    async def one(webhook: Webhook) -> CheckReport:
        async with slots:
            try:
                return await check_webhook(webhook, means, send=send)
            except Exception as error:  # a bug of ours: it must not cost the others their reports
                return _unexpected(webhook, error)

    running = [asyncio.create_task(one(webhook)) for webhook in webhooks]
    try:
        for task in running:
            yield await task
    finally:
        for task in running:
            task.cancel()


def _unexpected(webhook: Webhook, error: Exception) -> CheckReport:
    """Wherever that was: it is not known to get through to the last step."""
    words = one_line(f"unexpected {type(error).__name__}: {error}")
    finding = CheckFinding(
        CheckStep.HTTP, Grade.FAILED, words, "this is a fault of hookline: report it with this line"
    )
    return CheckReport(address=str(webhook.address), url=webhook.url, findings=(finding,))


async def check_webhook(webhook: Webhook, means: CheckContext, *, send: bool) -> CheckReport:
    """Look at one webhook: the way to it within its own timeout, and with `send` one test event within another.

    What can be looked at although something before it has failed is looked at; the event is sent only when nothing
    has.
    """
    now = means.clock()
    findings = [*secret_findings(webhook, means.resolver, now), *key_findings(webhook, means.resolver, now)]
    context, wrong = make_context(webhook, means.resolver, means.ca_file)
    findings += wrong
    try:
        target = parse_target(webhook.url)
    except HooklineError as error:
        findings.append(CheckFinding(CheckStep.DNS, Grade.FAILED, error.message, error.hint))
        return CheckReport(address=str(webhook.address), url=webhook.url, findings=tuple(findings))
    connection = await check_connection(
        target,
        context,
        rules=means.rules,
        resolve=means.resolve,
        proxy=means.proxy,
        deadline=webhook.delivery.timeout.total_seconds(),
        now=datetime.fromtimestamp(now, UTC),
    )
    findings += connection.findings
    if send and all(finding.grade is not Grade.FAILED for finding in findings):
        findings.append(await _sent(webhook, means))
    return CheckReport(
        address=str(webhook.address),
        url=webhook.url,
        findings=tuple(findings),
        addresses=connection.addresses,
        certificates=connection.certificates,
    )


async def _sent(webhook: Webhook, means: CheckContext) -> CheckFinding:
    """Post one test event over the very endpoint that the relay posts over."""
    now = means.clock()
    identity = means.random(16)
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    body = test_body(webhook, f"hookline-test-{identity.hex()}", moment)
    endpoint = HttpEndpoint(
        webhook,
        resolver=means.resolver,
        clock=means.clock,
        random=means.random,
        transport_factory=marking(transport_factory_by_name(means.transport, means.rules, means.clock, means.proxy)),
        ca_file=means.ca_file,
    )
    started = time.monotonic()
    try:
        result = await endpoint.post(Attempt(identity, body, 1, now, moment))
    finally:
        await endpoint.aclose()
    return check_response(result, seconds=time.monotonic() - started)
