"""`hookline rollback`: plan the way back to an earlier serial, and apply it as the next serial."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from hookline.apply import apply_plan, raise_if_blocked
from hookline.cli.applied_state import read_pending, read_with_history
from hookline.cli.commands.apply import ask_for_approval
from hookline.cli.options import auto_approve_option, examples, lock_timeout_option, spool_option, state_option
from hookline.cli.output.plan_output import print_plan
from hookline.cli.output.standard_streams import print_result, put_work_first
from hookline.cli.plan_options import deletion_options, override_options, policy_guard
from hookline.errors import Blocked, HooklineError
from hookline.model import Desired
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.planner import make_plan
from hookline.plan.policy_check import OverrideRequest, raise_if_denied
from hookline.provenance import Provenance
from hookline.settings import user_name
from hookline.state.factory import open_state, without_password
from hookline.state.history_chain import find_breaks
from hookline.state.history_replay import desired_at
from hookline.state.store import HistoryRecord, Snapshot
from hookline.state.store_errors import damaged_state_error


@click.command(
    epilog=examples(
        "hookline rollback --to 41",
        exits="0 done, 6 blocked, not approved, or the history is inconsistent, 7 the state changed "
        "during the run, 8 the state is locked or cannot be used",
    )
)
@click.option(
    "--to",
    "serial",
    type=click.IntRange(min=1),
    required=True,
    metavar="SERIAL",
    help="The serial to return to; `hookline history` lists them.",
)
@state_option
@spool_option
@deletion_options
@override_options
@auto_approve_option
@lock_timeout_option
def rollback_command(
    *,
    serial: int,
    state: str,
    spool: str,
    deletion_limits: DeletionLimits,
    overrides: OverrideRequest,
    auto_approve: bool,
    lock_timeout: float,
) -> None:
    """Return the stored state to an earlier serial.

    Shows the plan, asks for approval on a terminal, and applies the plan as the next serial. The history keeps the
    serials in between. The deletion guard and the policy apply as in apply. A webhook that has moved since then moves
    back, with its pending deliveries. The policy stays as it is: only `policy set` and `policy clear` change it. The
    webhook files are not changed: revert them as well, or the next apply undoes the rollback.
    """
    put_work_first()
    store = open_state(state, lock_timeout=timedelta(seconds=lock_timeout))
    stored, records = read_with_history(store, state)
    plan = make_plan(stored, _desired(state, stored, records, serial), deletion_limits, read_pending(spool))
    if not plan.changes:
        click.echo(f"Nothing to do: the state matches serial {serial}.")
        return
    guard = policy_guard(None, overrides, None)
    plan = guard.checked(plan, stored, store.now)
    print_plan(plan, "text")
    try:
        raise_if_blocked(plan)
    except Blocked as blocked:
        first = plan.blocked[0]
        number = ", or --max-deletes N" if first.moved_from is None else ""
        hint = f"if you intend this, allow it: {first.option}{number}"
        raise Blocked(blocked.message, hint=hint) from blocked
    raise_if_denied(plan.violations)
    if not auto_approve:
        ask_for_approval()
    provenance = Provenance(user_name(), None, None)
    applied = apply_plan(
        store, stored, plan, provenance, datetime.now(UTC), note=f"rollback to {serial}", guard=guard
    )
    print_result(f"Rolled back to {serial}: the state is at serial {applied.serial}.")


def _desired(state: str, stored: Snapshot, records: Sequence[HistoryRecord], serial: int) -> Desired:
    """The webhooks at `serial`. Raises HooklineError if there is none, Blocked or StateUnusable for a bad history."""
    if serial > stored.serial:
        raise HooklineError(
            f"serial {serial} does not exist: the state is at serial {stored.serial}",
            hint="`hookline history` shows all serials",
        )
    for broken in find_breaks(str(stored.lineage), stored.serial, records):
        if broken.serial <= serial:
            raise Blocked(
                f"the history is broken at serial {broken.serial}: {broken.reason}",
                hint="its entries up to there cannot be trusted; `hookline drift` shows details",
            )
    try:
        return desired_at(records, serial)
    except ValueError as broken:
        raise damaged_state_error(without_password(state), str(broken)) from broken
