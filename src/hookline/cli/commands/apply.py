"""`hookline apply`: make the stored state what the files, or a saved plan, say."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click

from hookline.apply import apply_plan, apply_saved_plan, check_commit_order, raise_if_blocked, rebase_saved_plan
from hookline.cli.options import ApplyOptions, apply_options, config_option, state_option
from hookline.cli.plan_options import brake_options, load_desired, paths_argument, target_option, verbose_option
from hookline.cli.plan_output import print_plan
from hookline.errors import Blocked, Stale, WrongUse
from hookline.escaping import printable
from hookline.model import Address
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.stale_plan import DIRTY_SUFFIX, attribution
from hookline.provenance import Provenance, is_ancestor, provenance_of, uncommitted_files
from hookline.state.factory import open_state
from hookline.state.store import Snapshot, StateStore


# What must hold before a plan is applied: the fingerprint that is expected, and the commit's descent.
def commit_guard(
    store: StateStore, provenance: Provenance, config: Path, *, allow_older: bool
) -> Callable[[], tuple[str, ...]]:
    """What tells, whenever it is called, whether the commit follows the one that was applied last by then.

    It returns what is to be recorded as lifted, and raises Blocked.
    """

    def judge() -> tuple[str, ...]:
        if provenance.commit is None:
            return ()
        return check_commit_order(
            store.history(), provenance.commit, partial(is_ancestor, config), allow_older=allow_older
        )

    return judge


def with_uncommitted_mark(provenance: Provenance, config: Path) -> Provenance:
    """The provenance, its commit marked where the files are not that commit's, which is said on stderr too."""
    if provenance.commit is None:
        return provenance
    names = uncommitted_files(config)
    if not names:
        return provenance
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    click.echo(
        f"warning: {printable(str(config / names[0]))}{more} not as in commit {provenance.commit[:12]}: "
        f"the history will say {provenance.commit[:12]}{DIRTY_SUFFIX}",
        err=True,
    )
    return replace(provenance, commit=provenance.commit + DIRTY_SUFFIX)


def was_applied(store: StateStore, expect: str | None) -> bool:
    """Whether what is expected was applied already. With nothing left to do, a job that runs again has succeeded."""
    if expect is None:
        return False
    found = [record for record in store.history() if record.entry.fingerprint == expect]
    if found:
        click.echo(f"The expected plan was applied already, by {attribution(found[-1])}.")
    return bool(found)


def refuse_unexpected(store: StateStore, expect: str | None, plan: Plan) -> None:
    """Raise Stale when the plan is not the expected one, with what is known of why."""
    if expect in (None, plan.fingerprint):
        return
    records = store.history()
    since = f"; the last apply was by {attribution(records[-1])}" if records else ""
    if records:
        addresses = [printable(str(change.get("address"))) for change in records[-1].entry.changes]
        since += f", and changed {', '.join(addresses[:3])}{' and more' if len(addresses) > 3 else ''}"
    raise Stale(
        f"nothing is applied, for the plan is not what is expected: expected {expect}, "
        f"and the plan now is {plan.fingerprint}{since}",
        hint="the files or the state have changed since it was reviewed: have the plan shown here reviewed, "
        "and expect its fingerprint",
    )


# A person's yes, before anything is applied.
def ask_for_approval() -> None:
    """Return when a person says yes; raise Blocked for any other answer, and where nobody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Blocked("approval is missing, and there is no terminal to ask on", hint="give --auto-approve")
    answer = click.prompt("Apply these changes? Only 'yes' is accepted", default="", show_default=False)
    if answer != "yes":
        raise Blocked("cancelled; nothing was changed")


_FINGERPRINT = re.compile(r"sha256:[0-9a-f]{64}")


def _fingerprint(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _FINGERPRINT.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not sha256: and 64 digits, as a plan names it", ctx=ctx, param=param)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What the command line asks for, beside what is to be planned."""

    config: Path
    store: StateStore
    brakes: DeletionLimits
    expect: str | None
    allow_older: bool
    auto_approve: bool
    verbose: bool


@click.command(
    epilog="Example: hookline apply plan.json --auto-approve --lock-timeout 30s. Exit codes: 0 done, 5 invalid "
    "files, 6 blocked or not approved (a 'no' changes nothing), 7 the state has changed or the plan is not "
    "the expected one, 8 the state is locked or cannot be used."
)
@paths_argument("[PATH]... | PLANFILE")
@config_option
@state_option
@target_option
@brake_options
@click.option(
    "--allow-older", is_flag=True, help="Apply a commit even if it is not a descendant of the one applied last."
)
@click.option(
    "--expect",
    metavar="FINGERPRINT",
    callback=_fingerprint,
    help="Apply only the plan with this fingerprint; refuse any other.",
)
@verbose_option
@apply_options
def command(
    *,
    paths: tuple[Path, ...],
    config: Path,
    state: str,
    target: tuple[Address, ...],
    brakes: DeletionLimits,
    allow_older: bool,
    expect: str | None,
    verbose: bool,
    applying: ApplyOptions,
) -> None:
    """Apply the changes in the webhook files, or in a saved plan, to the stored state.

    Shows the plan, asks for approval on a terminal, and writes all changes or none. A PATH narrows the run to the
    webhooks that it contains; a narrowed run never deletes. The history records the options that allowed deletions.

    A PATH is a PLANFILE if it contains a plan (JSON with a formatVersion) or its name ends with .json. The whole
    plan is refused if one of its webhooks has changed since the plan was made. Changes to other webhooks do not
    matter. A saved plan does not contain the options that allow deletions: pass them again.

    Inside a git repository the commit must be a descendant of the one applied last. If webhook files differ from
    the commit, the history records that.
    """
    request = _Request(
        config=config,
        store=open_state(state, lock_timeout=timedelta(seconds=applying.lock_timeout)),
        brakes=brakes,
        expect=expect,
        allow_older=allow_older,
        auto_approve=applying.auto_approve,
        verbose=verbose,
    )
    file = _plan_file(paths, target)
    applied = _apply_files(request, paths, target) if file is None else _apply_file(request, file)
    if applied is not None:
        click.echo(f"Applied: the state is at serial {applied.serial}.")


def _plan_file(paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Path | None:
    """The saved plan among the paths, which must be all that is given. Loads what reads plans only for a path."""
    if not paths:
        return None
    from hookline.cli.plan_input import is_plan_file  # noqa: PLC0415

    found = [path for path in paths if is_plan_file(path)]
    if found and (len(paths) > 1 or targets):
        raise WrongUse(
            f"{found[0]} is a saved plan, and is applied alone",
            hint="leave out --target and every other PATH, or name webhook files only",
        )
    return found[0] if found else None


def _apply_files(request: _Request, paths: tuple[Path, ...], targets: tuple[Address, ...]) -> Snapshot | None:
    desired = load_desired(request.config, paths, targets)
    stored = request.store.read()
    plan = make_plan(stored, desired, request.brakes)
    print_plan(plan, "text", verbose=request.verbose)
    if not plan.changes and was_applied(request.store, request.expect):
        return None
    refuse_unexpected(request.store, request.expect, plan)
    raise_if_blocked(plan)
    if not plan.changes:
        return None
    provenance = with_uncommitted_mark(provenance_of(request.config), request.config)
    lifted = _commit_judge(request, provenance)()
    if not request.auto_approve:
        ask_for_approval()
    return apply_plan(request.store, stored, plan, provenance, datetime.now(UTC), lifted=lifted)


def _apply_file(request: _Request, file: Path) -> Snapshot | None:
    from hookline.cli.plan_input import (  # noqa: PLC0415
        read_plan_file,
        refuse_documents,
    )

    saved = read_plan_file(file)
    refuse_documents(saved, str(file))
    refuse_unexpected(request.store, request.expect, saved)
    _, plan = rebase_saved_plan(request.store, saved, request.brakes)
    print_plan(plan, "text", verbose=request.verbose)
    raise_if_blocked(plan)
    if not plan.changes:
        return None
    provenance = provenance_of(request.config)
    judge_commit = _commit_judge(request, provenance)
    judge_commit()
    if not request.auto_approve:
        ask_for_approval()
    return apply_saved_plan(
        request.store, saved, request.brakes, provenance, datetime.now(UTC), check_commit=judge_commit
    )


def _commit_judge(request: _Request, provenance: Provenance) -> Callable[[], tuple[str, ...]]:
    return commit_guard(request.store, provenance, request.config, allow_older=request.allow_older)
