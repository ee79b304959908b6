"""`hookline pause`, `resume` and `retry-now`: an operator's requests for one webhook, stored in the spool."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

import click

from hookline.cli.applied_state import nearest_hint, open_or_create_spool
from hookline.cli.completions import complete_addresses
from hookline.cli.options import ADDRESS, Decorated, examples, spool_option, state_option
from hookline.cli.output.standard_streams import put_work_first
from hookline.errors import HooklineError
from hookline.escaping import printable
from hookline.model import Address
from hookline.observe.snapshot import LaneStatus
from hookline.observe.spool_owners import lane_of
from hookline.relay.spool.admin import Backlog, WebhookControl
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import EndpointState
from hookline.state.factory import open_state


def _webhook_argument(function: Decorated) -> Decorated:
    argument = click.argument("address", type=ADDRESS, metavar="ORG/SANDBOX", shell_complete=complete_addresses)
    return argument(state_option(spool_option(function)))


def _control(address: Address, state: str, spool: str) -> AbstractContextManager[WebhookControl]:
    """The control of a webhook. Raises HooklineError with the nearest addresses for an unknown webhook.

    A webhook is known if the spool or the state contains it. Creates a spool in a directory if it is missing, so
    that a request made before the first relay is kept. Reads the state only for a webhook that the spool does not
    know, so that a pause works while the state cannot be reached.
    """
    put_work_first()
    store = spool_store(spool)
    known = store.statistics().endpoint_states()
    if address not in known:
        applied = open_state(state).read().webhooks
        if address not in applied:
            raise HooklineError(
                f"{address} is neither in the state nor in the spool {store.name}",
                hint=nearest_hint(str(address), {*applied, *known}),
            )
    return open_or_create_spool(spool).webhook_control()


def _current(address: Address, spool: str) -> tuple[EndpointState, Backlog]:
    statistics = spool_store(spool).statistics()
    backlogs = statistics.backlogs() or {}
    return statistics.endpoint_states().get(address, EndpointState()), backlogs.get(address, Backlog())


def _count_text(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


@click.command(
    epilog=examples(
        "hookline pause ACME@AdobeOrg/prod", exits="0 paused, 1 no such webhook, 8 the spool cannot be used"
    )
)
@_webhook_argument
def pause_command(*, address: Address, state: str, spool: str) -> None:
    """Pause a webhook: the relay sends nothing to its endpoint. Its deliveries remain pending and do not age.

    The pause is stored in the spool until `hookline resume`. It survives restarts and applies. It also works while
    no relay runs.
    """
    with _control(address, state, spool) as control:
        new = control.pause(address, now=time.time())
    pending = _count_text(_current(address, spool)[1].pending, "pending delivery", "pending deliveries")
    result = "is paused" if new else "was already paused"
    click.echo(f"{address} {result}: {pending}; a running relay stops sending within a second.")
    click.echo(f"  next: hookline resume {address}", err=True)


@click.command(
    epilog=examples(
        "hookline resume ACME@AdobeOrg/prod", exits="0 resumed, 1 no such webhook, 8 the spool cannot be used"
    )
)
@_webhook_argument
def resume_command(*, address: Address, state: str, spool: str) -> None:
    """Resume a paused webhook. The duration of the pause does not count towards the age of its deliveries."""
    with _control(address, state, spool) as control:
        was_paused = control.resume(address, now=time.time())
    webhook_state, backlog = _current(address, spool)
    pending = _count_text(backlog.pending, "pending delivery", "pending deliveries")
    if was_paused:
        click.echo(f"{address} is resumed: {pending}; a running relay starts sending within a second.")
    else:
        click.echo(f"{address} was not paused: {pending}; nothing changed.")
    if webhook_state.disabled:
        click.echo("  it is also disabled: the relay sends nothing until `enabled: true` is applied", err=True)


def retry_text(due: int, pending: int, lane: LaneStatus | None) -> str:
    """The effect of `retry-now`, in words.

    Args:
        due: The number of retries that became due.
        pending: The number of pending deliveries.
        lane: The status of the webhook in a running relay, before the command; None if no relay reports it.
    """
    if not pending:
        return "no delivery is pending, so nothing is sent now."
    retries = f"{_count_text(due, 'retry is', 'retries are')} due now"
    deliveries = _count_text(pending, "pending delivery", "pending deliveries")
    if lane is not None and lane.phase != "closed":
        reason = printable(lane.reason or "")
        return (
            f"{retries}; the circuit breaker was {lane.phase} ({reason}): a running relay sends one of "
            f"{deliveries} as a probe within a second, and the others after the first success."
        )
    if not due:
        return f"no retry waits for a later time; a running relay already sends the {deliveries}."
    return f"{retries}; a running relay starts sending within a second."


@click.command(
    "retry-now",
    epilog=examples(
        "hookline retry-now ACME@AdobeOrg/prod", exits="0 requested, 1 no such webhook, 8 the spool cannot be used"
    ),
)
@_webhook_argument
def retry_now_command(*, address: Address, state: str, spool: str) -> None:
    """Try a webhook's endpoint at once: all its pending deliveries become due, and its circuit breaker admits a
    probe.

    This also applies after a Retry-After, a refused token, or a 410. If no relay runs, the next one does it.
    Deliveries that became dead letters after a 410 remain dead letters: replay them.
    """
    lane = lane_of(str(address), spool_store(spool).statistics().processes())
    with _control(address, state, spool) as control:
        due = control.retry_now(address, now=time.time())
    webhook_state, backlog = _current(address, spool)
    click.echo(f"{address}: {retry_text(due, backlog.pending, lane)}")
    if webhook_state.paused is not None:
        click.echo(f"  it is paused, so the relay sends nothing yet: hookline resume {address}", err=True)
    if webhook_state.disabled:
        click.echo("  it is disabled: the relay sends nothing until `enabled: true` is applied", err=True)
    if backlog.dead:
        remaining = _count_text(backlog.dead, "dead letter remains", "dead letters remain")
        click.echo(f"  {remaining}: hookline dead replay --webhook {address}", err=True)
