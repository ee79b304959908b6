"""`hookline retry-now`: try a webhook's endpoint at once, whatever it was found to be."""

from __future__ import annotations

import time

import click

from hookline.cli.holding import backlog_of, counted, hint, require_known, standing_of, webhook_of_a_spool
from hookline.model import Address
from hookline.relay.spool.factory import spool_store


@click.command(
    "retry-now",
    epilog="Example: hookline retry-now ACME@AdobeOrg/prod. "
    "Exit codes: 0 it is said, 1 there is no such webhook, 8 the spool cannot be used.",
)
@webhook_of_a_spool
def command(*, address: Address, state: str, spool: str) -> None:
    """Try a webhook's endpoint at once: every delivery that waits for a retry is due now, and what closed the
    endpoint is forgotten (a breaker, Retry-After, a refused token, also a 410).

    Without a running relay the next one does it. Deliveries that a 410 has made dead letters stay dead: replay them.
    """
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        due = control.retry_now(address, now=time.time())
    retries = counted(due, "waiting retry is", "waiting retries are")
    click.echo(f"{address} is tried at once: {retries} due now; a running relay begins within a second.")
    standing, dead = standing_of(address, spool), backlog_of(address, spool).dead
    if standing.paused is not None:
        hint(f"it is paused, so nothing is sent yet: hookline resume {address}")
    if standing.disabled:
        hint("it is disabled, so nothing is sent yet: it sends when `enabled: true` is applied")
    if dead:
        hint(f"{counted(dead, 'dead letter stays', 'dead letters stay')}: hookline dead replay --webhook {address}")
