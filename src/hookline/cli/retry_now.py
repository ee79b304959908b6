"""`hookline retry-now`: try a webhook's endpoint at once, whatever it was found to be."""

from __future__ import annotations

import time

import click

from hookline.cli.holding import backlog_of, counted, hint, require_known, standing_of, webhook_of_a_spool
from hookline.model import Address
from hookline.relay.spool.factory import spool_store


@click.command(
    "retry-now",
    epilog="Example: hookline retry-now ACME@AdobeOrg/prod. Exit codes: 0 requested, 1 no such webhook, 8 the spool "
    "cannot be used.",
)
@webhook_of_a_spool
def command(*, address: Address, state: str, spool: str) -> None:
    """Try a webhook's endpoint at once: all its pending deliveries become due, and its circuit breaker admits a
    probe.

    This also applies after a Retry-After, a refused token, or a 410. If no relay runs, the next one does it.
    Deliveries that became dead letters after a 410 remain dead letters: replay them.
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
