"""`hookline check`: go the relay's way to each endpoint, and say where it ends."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import click

from hookline.cli.applied import find, read_applied
from hookline.cli.networking import network_options
from hookline.cli.options import format_option, secrets_options, state_option
from hookline.cli.table import columns
from hookline.escaping import printable
from hookline.model import Webhook
from hookline.relay.checking.examine import Means, examine_all
from hookline.relay.checking.report import Finding, Grade, Report
from hookline.relay.delivery.certificate import Certificate
from hookline.relay.delivery.proxy import Proxy
from hookline.relay.network import NetworkRules
from hookline.relay.secrets import SecretResolver
from hookline.settings import secret_environment

_COLOURS = {Grade.OK: "green", Grade.WARNING: "yellow", Grade.FAILED: "red"}


@click.command(
    epilog="Example: hookline check acme/prod --send. Exit codes: 0 all is well, perhaps with warnings, 1 something"
    " fails, 8 the state cannot be used."
)
@click.argument("addresses", nargs=-1, metavar="[ORG/SANDBOX…]")
@click.option("--send", is_flag=True, help="Also post one test event, marked by the header hookline-test: true.")
@state_option
@secrets_options
@network_options
@format_option("text", "json", help="For people, or for programs.")
def command(
    *,
    addresses: tuple[str, ...],
    send: bool,
    state: str,
    secrets_dir: Path,
    secrets_by_organization: bool,
    insecure_secret_files: bool,
    allow_network: tuple[IPv4Network | IPv6Network, ...],
    ca_file: Path | None,
    transport: str,
    proxy: Proxy | None,
    form: str,
) -> int:
    """Look at applied webhooks before it hurts: all of them, or those that are named.

    Secrets resolve, keys fit their algorithm, the name resolves, its addresses are admitted, a connection comes
    about, TLS is spoken and its certificate holds for another 30 days; with --send, one event is accepted. Run it
    where the relay runs, as the same user, with the same options: then what holds here holds there. Each webhook has
    its own delivery.timeout for the way, and again for the event.
    """
    snapshot = read_applied(state)
    chosen = [find(snapshot, text) for text in addresses] or list(snapshot.webhooks.values())
    webhooks = list({stored.webhook.address: stored.webhook for stored in chosen}.values())
    means = Means(
        resolver=SecretResolver(
            environment=secret_environment(),
            directory=secrets_dir,
            by_organization=secrets_by_organization,
            insecure_files=insecure_secret_files,
            organizations=lambda: {one.organization for one in snapshot.webhooks},
        ),
        rules=NetworkRules(allow_network),
        clock=time.time,
        random=os.urandom,
        ca_file=ca_file,
        transport=transport,
        proxy=proxy,
    )
    reports = asyncio.run(_examined(webhooks, means, send=send, tell=form == "text"))
    if form == "json":
        now = datetime.now(UTC)
        click.echo(json.dumps([_document(report, now) for report in reports], indent=2, ensure_ascii=False))
    else:
        _print_sum(reports)
    return 1 if any(report.failed_at for report in reports) else 0


async def _examined(webhooks: Sequence[Webhook], means: Means, *, send: bool, tell: bool) -> list[Report]:
    """All reports; with `tell` each is printed as soon as those before it are."""
    reports = []
    async for report in examine_all(webhooks, means, send=send):
        reports.append(report)
        if tell:
            _print(report)
    return reports


def _print(report: Report) -> None:
    click.echo(f"{printable(report.address)}  {printable(report.url)}")
    rows = [("  " + finding.grade, finding.step, printable(finding.detail)) for finding in report.findings]
    for finding, line in zip(report.findings, columns(rows), strict=True):
        word = str(finding.grade)
        click.echo(line.replace(word, click.style(word, fg=_COLOURS[finding.grade]), 1))
        if finding.hint and finding.grade is not Grade.OK:
            click.echo(f"    hint: {printable(finding.hint)}")


def _print_sum(reports: Sequence[Report]) -> None:
    failed = sum(1 for report in reports if report.failed_at)
    warned = sum(1 for report in reports if report.warns and not report.failed_at)
    good = len(reports) - failed - warned
    click.echo(f"{len(reports)} checked: {good} good, {warned} with warnings, {failed} failed.", err=True)


def _document(report: Report, now: datetime) -> dict[str, Any]:
    return {
        "address": report.address,
        "url": report.url,
        "ok": report.failed_at is None,
        "failedAt": report.failed_at,
        "findings": list(_findings(report.findings)),
        "addresses": list(report.addresses),
        "certificates": [_certificate(shown, now) for shown in report.certificates],
    }


def _findings(findings: Sequence[Finding]) -> Iterator[dict[str, Any]]:
    for finding in findings:
        yield {"step": finding.step, "grade": finding.grade, "detail": finding.detail, "hint": finding.hint}


def _certificate(shown: Certificate, now: datetime) -> dict[str, Any]:
    return {
        "subject": shown.subject,
        "issuer": shown.issuer,
        "names": list(shown.names),
        "notBefore": shown.not_before.isoformat(),
        "notAfter": shown.not_after.isoformat(),
        "daysLeft": shown.days_left(now),
    }
