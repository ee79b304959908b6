"""`hookline pause`: hold a webhook by hand."""

from __future__ import annotations

import time

import click

from hookline.cli.holding import backlog_of, counted, hint, require_known, webhook_of_a_spool
from hookline.model import Address
from hookline.relay.spool.factory import spool_store


@click.command(
    epilog="Example: hookline pause ACME@AdobeOrg/prod, and later: hookline resume ACME@AdobeOrg/prod. Exit codes: "
    "0 paused, 1 no such webhook, 8 the spool cannot be used."
)
@webhook_of_a_spool
def command(*, address: Address, state: str, spool: str) -> None:
    """Pause a webhook: the relay sends nothing to its endpoint. Its deliveries remain pending and do not age.

    The pause is stored in the spool until `hookline resume`. It survives restarts and applies. It also works while
    no relay runs.
    """
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        new = control.pause(address, now=time.time())
    pending = counted(backlog_of(address, spool).pending, "pending delivery waits", "pending deliveries wait")
    what = "is paused" if new else "was paused already"
    click.echo(f"{address} {what}: {pending}; a running relay stops sending within a second.")
    hint(f"next: hookline resume {address}")
