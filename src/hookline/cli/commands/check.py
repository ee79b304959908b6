"""`hookline check`: connect to endpoints as the relay does, and report problems."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from hookline.cli.applied_state import find, read_applied, resolver_for
from hookline.cli.completions import complete_addresses
from hookline.cli.network_options import network_options
from hookline.cli.options import (
    bundle,
    examples,
    format_option,
    secrets_options,
    spool_option,
    state_option,
)
from hookline.cli.output.colour import coloured
from hookline.cli.output.json_output import print_json
from hookline.cli.output.standard_streams import put_code_first
from hookline.cli.output.tables import columns
from hookline.cli.status.backlog_check import read_backlog_findings
from hookline.escaping import printable
from hookline.exit_codes import ExitCode
from hookline.model import Webhook
from hookline.relay.http.certificate_info import Certificate
from hookline.relay.preflight.checks import CheckContext, check_all
from hookline.relay.preflight.report import CheckFinding, CheckReport, Grade

_COLOURS = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAILED: "red"}


@click.command(
    epilog=examples(
        "hookline check",
        "hookline check ACME@AdobeOrg/prod --send",
        exits="0 all checks passed, perhaps with warnings, 1 a check failed, 8 the state cannot be used",
    )
)
@click.argument("addresses", nargs=-1, metavar="[ORG/SANDBOX…]", shell_complete=complete_addresses)
@click.option("--send", is_flag=True, help="Also send one test event with the header hookline-test: true.")
@state_option
@spool_option
@bundle("context", partial(CheckContext, clock=time.time, random=os.urandom), secrets_options, network_options)
@format_option("text", "json", help="For people or for programs.")
def check_command(
    *, addresses: tuple[str, ...], send: bool, state: str, spool: str, context: CheckContext, form: str
) -> int:
    """Check applied webhooks before they are used: all of them, or the named ones.

    Checks that secrets resolve, keys fit their algorithm, the host name resolves to permitted addresses, a TLS
    connection succeeds, and the certificate is valid for another 30 days. With --send, the endpoint must also
    accept one test event. If a spool exists, the check also says how long pending deliveries take, and warns if some
    pass maxAge before. Run it on the relay's machine, as the same user and with the same options, so that the
    result applies to the relay. The webhook's delivery.timeout limits the connection, and again the test event.
    """
    put_code_first()
    snapshot = read_applied(state)
    selected = [find(snapshot, text) for text in addresses] or list(snapshot.webhooks.values())
    webhooks = list({stored.webhook.address: stored.webhook for stored in selected}.values())
    context = replace(context, resolver=resolver_for(snapshot, context.resolver))
    backlogs = read_backlog_findings(spool, webhooks, now=time.time())
    reports = asyncio.run(_check(webhooks, context, backlogs, send=send, show=form == "text"))
    failed = sum(1 for report in reports if report.failed_at)
    if form == "json":
        now = datetime.now(UTC)
        print_json([_document(report, now) for report in reports])
    else:
        warned = sum(1 for report in reports if report.has_warning and not report.failed_at)
        passed = len(reports) - failed - warned
        click.echo(f"{len(reports)} checked: {passed} passed, {warned} with warnings, {failed} failed.", err=True)
    return ExitCode.FAILED if failed else ExitCode.DONE


async def _check(
    webhooks: Sequence[Webhook],
    context: CheckContext,
    backlogs: Mapping[str, CheckFinding],
    *,
    send: bool,
    show: bool,
) -> list[CheckReport]:
    """All reports, in order. With `show`, each is printed as soon as it and all earlier ones are complete."""
    reports = []
    async for connection in check_all(webhooks, context, send=send):
        backlog = backlogs.get(connection.address)
        report = connection if backlog is None else replace(connection, findings=(*connection.findings, backlog))
        reports.append(report)
        if show:
            _print_report(report)
    return reports


def _print_report(report: CheckReport) -> None:
    click.echo(f"{printable(report.address)}  {printable(report.url)}")
    rows = [("  " + finding.grade, finding.step, printable(finding.detail)) for finding in report.findings]
    for finding, line in zip(report.findings, columns(rows), strict=True):
        grade = str(finding.grade)
        click.echo(line.replace(grade, coloured(grade, _COLOURS[finding.grade]), 1))
        if finding.hint and finding.grade is not Grade.OK:
            click.echo(f"    hint: {printable(finding.hint)}")


def _document(report: CheckReport, now: datetime) -> dict[str, Any]:
    return {
        "address": report.address,
        "url": report.url,
        "ok": report.failed_at is None,
        "failedAt": report.failed_at,
        "findings": [asdict(finding) for finding in report.findings],
        "addresses": list(report.addresses),
        "certificates": [_certificate(certificate, now) for certificate in report.certificates],
    }


def _certificate(certificate: Certificate, now: datetime) -> dict[str, Any]:
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "names": list(certificate.names),
        "notBefore": certificate.not_before.isoformat(),
        "notAfter": certificate.not_after.isoformat(),
        "daysLeft": certificate.days_left(now),
    }
