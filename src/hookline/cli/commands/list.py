"""`hookline list`: list the applied webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from hookline.cli.applied_state import read_applied, read_backlogs, read_owners
from hookline.cli.options import examples, format_option, spool_option, state_option
from hookline.cli.output.json_output import print_json
from hookline.cli.output.tables import columns
from hookline.escaping import printable
from hookline.model import Address, Channel, Webhook
from hookline.relay.spool.admin import Backlog
from hookline.state.authentication_text import authentication_name, authentication_text, signature_name

_HEADINGS = ("ADDRESS", "NAME", "CHANNELS", "AUTHENTICATION", "ENABLED", "URL")
_SPOOL_HEADINGS = ("PENDING", "DEAD")

Backlogs = Mapping[Address, Backlog] | None
Owners = Mapping[str, str] | None


@click.command(
    epilog=examples(
        "hookline list",
        "hookline list --organization ACME@AdobeOrg --channel sms --enabled --format json",
        exits="0 done, 8 the state cannot be used",
    )
)
@state_option
@spool_option
@click.option("--organization", metavar="NAME", help="Only webhooks of this organization.")
@click.option("--sandbox", metavar="NAME", help="Only webhooks of sandboxes with this name.")
@click.option("--channel", type=click.Choice([*map(str, Channel)]), help="Only webhooks with this channel.")
@click.option("--enabled/--disabled", default=None, help="Only enabled webhooks, or only disabled ones.")
@click.option("--url", metavar="TEXT", help="Only webhooks with this text in the URL. Case does not matter.")
@format_option("text", "json", "yaml", help="A table, a JSON array, or a YAML list.")
def list_command(
    *,
    state: str,
    spool: str,
    organization: str | None,
    sandbox: str | None,
    channel: str | None,
    enabled: bool | None,
    url: str | None,
    form: str,
) -> None:
    """List the applied webhooks by address, with their pending deliveries and dead letters if a spool exists, and
    their owners if processes share it.

    If you give several filters, a webhook must match all of them.
    """
    applied = [stored.webhook for stored in read_applied(state).webhooks.values()]
    webhooks = [
        webhook
        for webhook in applied
        if organization in (None, webhook.address.organization)
        and sandbox in (None, webhook.address.sandbox)
        and (channel is None or channel in webhook.channels)
        and enabled in (None, webhook.enabled)
        and (url is None or url.lower() in webhook.url.lower())
    ]
    backlogs = read_backlogs(spool)
    owners = None if backlogs is None else read_owners(spool)
    match form:
        case "json":
            documents = [_document(webhook, backlogs, owners) for webhook in webhooks]
            print_json(documents)
        case "yaml":
            from hookline.cli.output.yaml_writer import as_yaml_list  # noqa: PLC0415 - the YAML library takes longer than a table

            click.echo(as_yaml_list(_document(webhook, backlogs, owners) for webhook in webhooks), nl=False)
        case _:
            _print_table(webhooks, backlogs, owners, narrowed=len(webhooks) < len(applied))


def _document(webhook: Webhook, backlogs: Backlogs, owners: Owners) -> dict[str, Any]:
    backlog = None if backlogs is None else backlogs.get(webhook.address, Backlog())
    document = {
        "address": str(webhook.address),
        "name": webhook.name,
        "channels": [str(channel) for channel in sorted(webhook.channels)],
        "url": webhook.url,
        "authentication": authentication_name(webhook),
        "signature": signature_name(webhook),
        "enabled": webhook.enabled,
        "pending": None if backlog is None else backlog.pending,
        "dead": None if backlog is None else backlog.dead,
    }
    return document if owners is None else {**document, "owner": owners.get(str(webhook.address))}


def _row(webhook: Webhook, backlogs: Backlogs, owners: Owners) -> tuple[str, ...]:
    counts = () if backlogs is None else tuple(map(str, backlogs.get(webhook.address, Backlog())))
    return (
        printable(str(webhook.address)),
        printable(webhook.name),
        ",".join(sorted(webhook.channels)),
        authentication_text(webhook),
        "yes" if webhook.enabled else "no",
        webhook.url,
        *counts,
        *(() if owners is None else (printable(owners.get(str(webhook.address), "none")),)),
    )


def _print_table(webhooks: list[Webhook], backlogs: Backlogs, owners: Owners, *, narrowed: bool) -> None:
    if not webhooks:
        click.echo("No applied webhook matches the filters." if narrowed else "No webhook is applied.", err=True)
        return
    headings = _HEADINGS if backlogs is None else (*_HEADINGS, *_SPOOL_HEADINGS)
    headings = headings if owners is None else (*headings, "OWNER")
    click.echo("\n".join(columns([headings, *(_row(webhook, backlogs, owners) for webhook in webhooks)])))
