"""`hookline show`: one applied webhook."""

from __future__ import annotations

import json
from difflib import get_close_matches

import click

from hookline.cli.applied import read_applied
from hookline.cli.document import as_yaml
from hookline.cli.options import state_option
from hookline.errors import HooklineError, WrongUse
from hookline.model import Address
from hookline.state.snapshot import Snapshot, Stored


@click.command(
    epilog="Example: hookline show acme/prod. Exit codes: 0 done, 1 no such webhook, 8 the state cannot be used."
)
@click.argument("address", metavar="ORG/SANDBOX")
@state_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A webhook file, or JSON.",
)
def command(address: str, state: str, form: str) -> None:
    """Show one applied webhook, in canonical form: as a webhook file without the fields that are at their default."""
    stored = _find(read_applied(state), address)
    if form == "json":
        click.echo(json.dumps(stored.document, indent=2, ensure_ascii=False))
    else:
        click.echo(as_yaml(stored.document))


def _find(snapshot: Snapshot, text: str) -> Stored:
    try:
        address = Address.parse(text)
    except ValueError as wrong:
        raise WrongUse(str(wrong), hint="`hookline list` shows every address") from wrong
    if address in snapshot.webhooks:
        return snapshot.webhooks[address]
    near = get_close_matches(text, [str(known) for known in snapshot.webhooks], n=1)
    raise HooklineError(
        f"no webhook is applied for {text}",
        hint=f"did you mean {near[0]}?" if near else "`hookline list` shows every address",
    )
