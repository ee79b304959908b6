"""`hookline pause`: hold a webhook by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from hookline.cli.applied_state import near_ones
from hookline.cli.options import ADDRESS, Decorated, spool_option, state_option
from hookline.errors import HooklineError
from hookline.model import Address
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool import EndpointState
from hookline.state.factory import open_state
from hookline.units import utc_text

# What `pause`, `resume` and `retry-now` have in common: the webhook that is meant, and how it stands.


def webhook_argument(function: Decorated) -> Decorated:
    """The argument and the options of a command about one webhook: `address`, `state`, `spool`."""
    argument = click.argument("address", type=ADDRESS, metavar="ORG/SANDBOX")
    return argument(state_option(spool_option(function)))


def require_known(address: Address, state: str, spool: str) -> None:
    """Raise HooklineError, with near addresses, when neither the spool nor the state knows the webhook.

    Afterwards there is a spool: what is said before the first relay is kept for it. The state is only asked about a
    webhook that the spool has never heard of, so that holding one works while the state cannot be reached.
    """
    store = spool_store(spool)
    known = store.statistics().endpoint_states()
    if address not in known:
        applied = open_state(state).read().webhooks
        if address not in applied:
            raise HooklineError(
                f"{address} is neither applied nor in the spool {store.name}",
                hint=near_ones(str(address), {*applied, *known}),
            )
    store.create_if_missing(since=utc_text(datetime.now(UTC)))


def backlog_of(address: Address, spool: str) -> Backlog:
    return (spool_store(spool).statistics().backlogs() or {}).get(address, Backlog())


def standing_of(address: Address, spool: str) -> EndpointState:
    return spool_store(spool).statistics().endpoint_states().get(address, EndpointState())


def count_text(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def print_hint(text: str) -> None:
    """What to do next, on stderr."""
    click.echo(f"  {text}", err=True)


@click.command(
    epilog="Example: hookline pause ACME@AdobeOrg/prod, and later: hookline resume ACME@AdobeOrg/prod. Exit codes: "
    "0 paused, 1 no such webhook, 8 the spool cannot be used."
)
@webhook_argument
def pause(*, address: Address, state: str, spool: str) -> None:
    """Pause a webhook: the relay sends nothing to its endpoint. Its deliveries remain pending and do not age.

    The pause is stored in the spool until `hookline resume`. It survives restarts and applies. It also works while
    no relay runs.
    """
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        new = control.pause(address, now=time.time())
    pending = count_text(backlog_of(address, spool).pending, "pending delivery waits", "pending deliveries wait")
    what = "is paused" if new else "was paused already"
    click.echo(f"{address} {what}: {pending}; a running relay stops sending within a second.")
    print_hint(f"next: hookline resume {address}")


# `hookline resume`: let a webhook go on that was paused by hand.
@click.command(
    epilog="Example: hookline resume ACME@AdobeOrg/prod. Exit codes: 0 resumed, 1 no such webhook, 8 the spool "
    "cannot be used."
)
@webhook_argument
def resume(*, address: Address, state: str, spool: str) -> None:
    """Resume a paused webhook. The duration of the pause does not count towards the age of its deliveries."""
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        was_paused = control.resume(address, now=time.time())
    pending = count_text(backlog_of(address, spool).pending, "pending delivery", "pending deliveries")
    if not was_paused:
        click.echo(f"{address} was not paused: nothing changed, {pending}.")
    else:
        click.echo(f"{address} goes on: {pending}; a running relay sends within a second.")
    if standing_of(address, spool).disabled:
        print_hint("it is disabled as well: it sends when `enabled: true` is applied")


# `hookline retry-now`: try a webhook's endpoint at once, whatever it was found to be.
@click.command(
    "retry-now",
    epilog="Example: hookline retry-now ACME@AdobeOrg/prod. Exit codes: 0 requested, 1 no such webhook, 8 the spool "
    "cannot be used.",
)
@webhook_argument
def retry_now(*, address: Address, state: str, spool: str) -> None:
    """Try a webhook's endpoint at once: all its pending deliveries become due, and its circuit breaker admits a
    probe.

    This also applies after a Retry-After, a refused token, or a 410. If no relay runs, the next one does it.
    Deliveries that became dead letters after a 410 remain dead letters: replay them.
    """
    require_known(address, state, spool)
    with spool_store(spool).webhook_control() as control:
        due = control.retry_now(address, now=time.time())
    retries = count_text(due, "waiting retry is", "waiting retries are")
    click.echo(f"{address} is tried at once: {retries} due now; a running relay begins within a second.")
    standing, dead = standing_of(address, spool), backlog_of(address, spool).dead
    if standing.paused is not None:
        print_hint(f"it is paused, so nothing is sent yet: hookline resume {address}")
    if standing.disabled:
        print_hint("it is disabled, so nothing is sent yet: it sends when `enabled: true` is applied")
    if dead:
        print_hint(
            f"{count_text(dead, 'dead letter stays', 'dead letters stay')}: hookline dead replay --webhook {address}"
        )
