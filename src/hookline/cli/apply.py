"""`hookline apply`: make the stored state what the files say."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from hookline.apply import apply_plan, refuse_blocked
from hookline.cli.options import config_option, state_option
from hookline.cli.planning import (
    brake_options,
    load_desired,
    make_brakes,
    paths_argument,
    print_rows,
    target_option,
)
from hookline.errors import Blocked
from hookline.model import Address
from hookline.plan.make import make_plan
from hookline.plan.render_text import render_text
from hookline.provenance import provenance_of
from hookline.quantities import parse_duration
from hookline.state.opening import open_state


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    try:
        return parse_duration(value)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), ctx=ctx, param=param) from wrong


@click.command(
    epilog="Example: hookline apply --auto-approve --lock-timeout 30s. "
    "Exit codes: 0 done, 5 invalid files, 6 blocked, or not approved (a 'no' changes nothing), "
    "7 the state has moved meanwhile, 8 the state is locked or cannot be used."
)
@paths_argument
@config_option
@state_option
@target_option
@brake_options
@click.option("--auto-approve", is_flag=True, help="Do not ask. Without a terminal nothing is applied otherwise.")
@click.option(
    "--lock-timeout",
    default="0s",
    show_default=True,
    metavar="DURATION",
    callback=_duration,
    help="Wait this long while another apply holds the state.",
)
def command(
    *,
    paths: tuple[Path, ...],
    config: Path,
    state: str,
    targets: tuple[Address, ...],
    allow_delete: tuple[Address, ...],
    max_deletes: int | None,
    auto_approve: bool,
    lock_timeout: timedelta,
) -> None:
    """Make the stored state what the files say.

    Shows the plan, asks on a terminal, and writes every change or none. A PATH narrows the run to what is written
    there; a narrowed run never deletes. What lifts a brake on deletions is kept in the history.
    """
    desired = load_desired(config, paths, targets)
    store = open_state(state, lock_timeout=lock_timeout)
    stored = store.read()
    plan = make_plan(stored, desired, make_brakes(allow_delete, max_deletes))
    print_rows(render_text(plan))
    refuse_blocked(plan)
    if not plan.changes:
        return
    if not auto_approve:
        _ask()
    applied = apply_plan(store, stored, plan, provenance_of(config), datetime.now(UTC))
    click.echo(f"Applied: the state is at serial {applied.serial}.")


def _ask() -> None:
    """Return when a person says yes; raise Blocked for any other answer, and where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Blocked("approval is missing, and there is no terminal to ask on", hint="give --auto-approve")
    answer = click.prompt("Apply these changes? Only 'yes' is accepted", default="", show_default=False)
    if answer != "yes":
        raise Blocked("cancelled; nothing was changed")
