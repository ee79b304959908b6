"""`hookline resume`: let a webhook go on that was paused by hand."""

from __future__ import annotations

import time

import click

from hookline.cli.holding import backlog_of, counted, hint, require_known, standing_of, webhook_of_a_spool
from hookline.model import Address
from hookline.relay.spool.factory import spool_store


@click.command(
    epilog="Example: hookline resume ACME@AdobeOrg/prod. Exit codes: 0 resumed, 1 no such webhook, 8 the spool "
    "cannot be used."
)
@webhook_of_a_spool
def command(*, address: Address, state: str, spool: str) -> None:
    """Resume a paused webhook. The duration of the pause does not count towards the age of its deliveries."""
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        was_paused = control.resume(address, now=time.time())
    pending = counted(backlog_of(address, spool).pending, "pending delivery", "pending deliveries")
    if not was_paused:
        click.echo(f"{address} was not paused: nothing changed, {pending}.")
    else:
        click.echo(f"{address} goes on: {pending}; a running relay sends within a second.")
    if standing_of(address, spool).disabled:
        hint("it is disabled as well: it sends when `enabled: true` is applied")
