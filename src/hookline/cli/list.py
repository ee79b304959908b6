"""`hookline list`: the webhooks that are applied."""

from __future__ import annotations

import json
from typing import Any

import click

from hookline.cli.applied import read_applied
from hookline.cli.options import state_option
from hookline.model import JwtAuthentication, Webhook
from hookline.plan.printable import printable

_HEADINGS = ("ADDRESS", "NAME", "CHANNELS", "AUTHENTICATION", "ENABLED", "URL")


@click.command(epilog="Example: hookline list --format json. Exit codes: 0 done, 8 the state cannot be used.")
@state_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table, or a JSON array.",
)
def command(state: str, form: str) -> None:
    """List the webhooks that are applied, by address."""
    webhooks = [stored.webhook for stored in read_applied(state).webhooks.values()]
    if form == "json":
        click.echo(json.dumps([_document(webhook) for webhook in webhooks], indent=2, ensure_ascii=False))
    elif webhooks:
        _print_table([_HEADINGS, *(_row(webhook) for webhook in webhooks)])
    else:
        click.echo("No webhook is applied.", err=True)


def _document(webhook: Webhook) -> dict[str, Any]:
    return {
        "address": str(webhook.address),
        "name": webhook.name,
        "channels": sorted(webhook.channels),
        "url": webhook.url,
        "authentication": _authentication(webhook),
        "enabled": webhook.enabled,
    }


def _row(webhook: Webhook) -> tuple[str, ...]:
    return (
        str(webhook.address),
        printable(webhook.name),
        ",".join(sorted(webhook.channels)),
        _authentication(webhook),
        "yes" if webhook.enabled else "no",
        webhook.url,
    )


def _authentication(webhook: Webhook) -> str:
    return "jwt" if isinstance(webhook.authentication, JwtAuthentication) else "none"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
