"""`hookline apply`: apply the changes in the webhook files, or in a saved plan, to the stored state."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click

from hookline.apply import apply_plan, apply_saved_plan, check_commit_order, raise_if_blocked, rebase_saved_plan
from hookline.cli.applied_state import read_pending
from hookline.cli.options import (
    ParsedParameter,
    auto_approve_option,
    bundle,
    config_option,
    examples,
    lock_timeout_option,
    spool_option,
    state_option,
)
from hookline.cli.output.plan_output import print_plan
from hookline.cli.output.standard_streams import is_output_lost, print_result, put_work_first
from hookline.cli.plan_options import (
    deletion_options,
    load_desired,
    override_options,
    paths_argument,
    places_in,
    places_of_changes,
    policy_guard,
    require_desired,
    target_option,
    verbose_option,
    with_folder_notes,
)
from hookline.errors import Blocked, Stale, WrongUse
from hookline.escaping import printable
from hookline.model import Address
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import count_pending, make_plan
from hookline.plan.policy_check import OverrideRequest, raise_if_denied
from hookline.plan.stale_plan import DIRTY_SUFFIX, attribution, raise_if_expected_before
from hookline.provenance import Provenance, is_ancestor, provenance_of, uncommitted_files
from hookline.state.factory import open_state, state_place
from hookline.state.store import Snapshot, StateStore


def with_uncommitted_mark(provenance: Provenance, config: Path) -> Provenance:
    """The provenance. If files differ from the commit, the commit gets a mark, and stderr a warning."""
    if provenance.commit is None or (names := uncommitted_files(config)) == ():
        return provenance
    commit = provenance.commit[:12]
    if names is None:
        finding = f"git does not report whether the webhook files differ from commit {commit}"
    else:
        verb = f"and {len(names) - 1} more differ" if len(names) > 1 else "differs"
        finding = f"{printable(str(config / names[0]))} {verb} from commit {commit}"
    click.echo(f"warning: {finding}: the history will record {commit}{DIRTY_SUFFIX}", err=True)
    return replace(provenance, commit=provenance.commit + DIRTY_SUFFIX)


def was_applied(store: StateStore, expect: str | None) -> bool:
    """Whether the expected plan was already applied. A repeated job with nothing to do then succeeds."""
    if expect is None:
        return False
    found = [record for record in store.history() if record.entry.fingerprint == expect]
    if found:
        click.echo(f"The expected plan was already applied, by {attribution(found[-1])}.")
    return bool(found)


def refuse_unexpected(store: StateStore, expect: str | None, plan: Plan) -> None:
    """Raise Stale if the plan is not the expected one. The message names the last apply."""
    if expect is None or expect == plan.fingerprint:
        return
    records = store.history()
    since = f"; the last apply was by {attribution(records[-1])}" if records else ""
    if records:
        addresses = [printable(str(change.get("address"))) for change in records[-1].entry.changes]
        since += f", and changed {', '.join(addresses[:3])}{' and more' if len(addresses) > 3 else ''}"
    raise Stale(
        f"nothing was applied, because the plan is not the expected one: expected {expect}, "
        f"but the plan is {plan.fingerprint}{since}",
        hint="the files or the state have changed since the review: review the plan above, and pass its fingerprint "
        "with --expect",
    )


def ask_for_approval() -> None:
    """Ask on the terminal. Raises Blocked for an answer other than yes, and without a terminal."""
    if is_output_lost() or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Blocked("approval is missing: no terminal to ask on", hint="give --auto-approve")
    answer = click.prompt("Apply these changes? Only 'yes' is accepted", default="", show_default=False)
    if answer != "yes":
        raise Blocked("cancelled; nothing was changed")


def refuse_again(store: StateStore, request: _Request, plan: Plan) -> tuple[str, ...]:
    """The lifted limit for the history. Raises Stale if the expected plan was applied before and is not allowed."""
    if request.expect is None:
        return ()
    try:
        raise_if_expected_before(plan, store.history())
    except Stale as before:
        if not request.allow_again:
            raise
        return (f"{before.message.removeprefix('nothing was applied: ')} (allowed by --allow-again)",)
    return ()


_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


def _fingerprint(text: str) -> str:
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError(f"{text!r} is not a fingerprint: sha256: and 64 digits")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """The options of a run, without the selection of webhooks."""

    config: Path
    deletion_limits: DeletionLimits
    overrides: OverrideRequest
    allow_older: bool
    expect: str | None
    allow_again: bool
    spool: str
    verbose: bool
    auto_approve: bool


@click.command(
    epilog=examples(
        "hookline apply",
        "hookline apply plan.json --auto-approve --lock-timeout 30s",
        "hookline apply --allow-delete ACME@AdobeOrg/stage",
        exits="0 done, 5 invalid files, 6 blocked or not approved (a 'no' changes nothing), 7 the "
        "state has changed or the plan is not the expected one, 8 the state is locked or cannot be used",
    )
)
@paths_argument("[PATH]... | PLANFILE")
@bundle(
    "request",
    _Request,
    config_option,
    state_option,
    spool_option,
    target_option,
    deletion_options,
    override_options,
    click.option(
        "--allow-older",
        is_flag=True,
        help="Apply a commit even if it is not a descendant of the one applied last, or is not known.",
    ),
    click.option(
        "--expect",
        type=ParsedParameter("fingerprint", _fingerprint),
        help="Apply only the plan with this fingerprint; refuse any other.",
    ),
    click.option(
        "--allow-again",
        is_flag=True,
        help="With --expect: apply the plan even if it was applied before and a later apply has undone it.",
    ),
    verbose_option,
    auto_approve_option,
    lock_timeout_option,
)
def apply_command(
    *, paths: tuple[Path, ...], state: str, target: tuple[Address, ...], request: _Request, lock_timeout: float
) -> None:
    """Apply the changes in the webhook files, or in a saved plan, to the stored state.

    Shows the plan, with what becomes of pending deliveries, asks for approval on a terminal, and writes all changes
    or none. A PATH narrows the run to the
    webhooks that it contains; a narrowed run never deletes. The history records the options that allowed deletions.

    A PATH is a PLANFILE if it contains a plan (JSON with a formatVersion) or its name ends with .json. The whole
    plan is refused if it was applied before, or if an apply has touched one of its webhooks since the plan was made.
    Changes to other webhooks do not matter. A saved plan does not contain the options that allow deletions: pass
    them again.

    Once the history has a commit, the webhook files must be in a git checkout of a descendant of the commit applied
    last. If webhook files differ from the commit, the history records that.
    """
    put_work_first()
    store = open_state(state, lock_timeout=timedelta(seconds=lock_timeout))
    file = _plan_file(paths, target)
    applied = _apply_files(store, request, paths, target) if file is None else _apply_file(store, request, file)
    if applied is not None and applied.serial == 1:
        click.echo(f"Created the state {state_place(state)}: no state existed there.", err=True)
    if applied is not None:
        print_result(f"Applied: the state is at serial {applied.serial}.")


def _plan_file(paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Path | None:
    """The saved plan among the paths. Raises WrongUse if other paths or targets are given too."""
    if not paths:
        return None
    from hookline.cli.plan_input import is_plan_file  # noqa: PLC0415 - only needed for a PATH

    plan_files = [path for path in paths if is_plan_file(path)]
    if plan_files and (len(paths) > 1 or targets):
        raise WrongUse(
            f"{plan_files[0]} is a saved plan, which can only be applied alone",
            hint="leave out --target and every other PATH, or name webhook files only",
        )
    return plan_files[0] if plan_files else None


def _apply_files(
    store: StateStore, request: _Request, paths: tuple[Path, ...], targets: tuple[Address, ...]
) -> Snapshot | None:
    desired = load_desired(request.config, paths, targets)
    stored = store.read(desired.webhooks)
    require_desired(request.config, desired, stored)
    plan = make_plan(stored, desired, request.deletion_limits, read_pending(request.spool))
    plan = with_folder_notes(plan, desired, stored, store, request.config)
    guard = policy_guard(request.config, request.overrides, places_in(desired))
    plan = guard.checked(plan, stored, store.now)
    print_plan(plan, "text", verbose=request.verbose)
    if not plan.changes and was_applied(store, request.expect):
        return None
    refuse_unexpected(store, request.expect, plan)
    raise_if_blocked(plan)
    raise_if_denied(plan.violations)
    if not plan.changes:
        return None
    provenance = with_uncommitted_mark(provenance_of(request.config), request.config)
    lifted = _check_commit(store, request, provenance) + refuse_again(store, request, plan)
    if not request.auto_approve:
        ask_for_approval()
    return apply_plan(store, stored, plan, provenance, datetime.now(UTC), lifted=lifted, guard=guard)


def _apply_file(store: StateStore, request: _Request, file: Path) -> Snapshot | None:
    from hookline.cli.plan_input import read_plan_file, refuse_documents  # noqa: PLC0415 - only for a PLANFILE

    saved = read_plan_file(file)
    refuse_documents(saved, str(file))
    refuse_unexpected(store, request.expect, saved)
    stored, plan = rebase_saved_plan(store, saved, request.deletion_limits)
    guard = policy_guard(request.config, request.overrides, places_of_changes(saved))
    plan = guard.checked(plan, stored, store.now)
    print_plan(count_pending(plan, read_pending(request.spool)), "text", verbose=request.verbose)
    raise_if_blocked(plan)
    raise_if_denied(plan.violations)
    if not plan.changes:
        return None
    provenance = provenance_of(request.config)
    check_commit = partial(_check_commit, store, request, provenance)
    check_commit()
    if not request.auto_approve:
        ask_for_approval()
    return apply_saved_plan(
        store,
        saved,
        request.deletion_limits,
        provenance,
        datetime.now(UTC),
        check_commit=check_commit,
        guard=guard,
    )


def _check_commit(store: StateStore, request: _Request, provenance: Provenance) -> tuple[str, ...]:
    """The lifted rules for the history. Raises Blocked unless the commit is a descendant of the one applied last."""
    descends = partial(is_ancestor, request.config)
    records = [record for record in store.history() if record.entry.policy is None]
    return check_commit_order(records, provenance, descends, allow_older=request.allow_older)
