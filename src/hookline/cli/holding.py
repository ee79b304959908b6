"""What `pause`, `resume` and `retry-now` have in common: the webhook that is meant, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from hookline.cli.applied import near_ones
from hookline.cli.options import ADDRESS, spool_option, state_option
from hookline.errors import HooklineError
from hookline.model import Address
from hookline.quantities import utc_text
from hookline.relay.spool.admin import Backlog
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.port import Standing
from hookline.state.opening import open_state

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def webhook_of_a_spool(function: Decorated) -> Decorated:
    """The argument and the options of a command about one webhook: `address`, `state`, `spool`."""
    argument = click.argument("address", type=ADDRESS, metavar="ORG/SANDBOX")
    return argument(state_option(spool_option(function)))


def require_known(address: Address, state: str, spool: str) -> None:
    """Raise HooklineError, with near addresses, when neither the spool nor the state knows the webhook.

    Afterwards there is a spool: what is said before the first relay is kept for it. The state is only asked about a
    webhook that the spool has never heard of, so that holding one works while the state cannot be reached.
    """
    store = spool_store(spool)
    known = store.statistics().webhook_states()
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


def standing_of(address: Address, spool: str) -> Standing:
    return spool_store(spool).statistics().webhook_states().get(address, Standing())


def counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def hint(text: str) -> None:
    """What to do next, on stderr."""
    click.echo(f"  {text}", err=True)
