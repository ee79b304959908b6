"""Applies a plan: the only caller of `StateStore.commit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from hookline.errors import Blocked, Stale
from hookline.plan import stale_plan
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Action, Plan
from hookline.plan.plan_document import change_document
from hookline.state.store import HistoryEntry, HistoryRecord, Snapshot, StateStore

if TYPE_CHECKING:  # `plan` imports this module and runs no git
    from hookline.provenance import Provenance

MAX_COMMIT_ATTEMPTS = 64
"""How often a saved plan is rebased because another apply was committed first. Each time another apply succeeds."""

CommitFollows = Callable[[str], bool | None]
"""Whether the commit to apply is the given commit or a descendant of it; None if the clone does not show it."""


def apply_plan(
    store: StateStore,
    stored: Snapshot,
    plan: Plan,
    provenance: Provenance,
    now: datetime,
    *,
    lifted: tuple[str, ...] = (),
    note: str | None = None,
) -> Snapshot:
    """Apply every change of `plan`, or none, and return the state after it. Writes nothing if it has no changes.

    The deletion guard checked the plan against `stored`, and the store commits onto exactly that state only. The
    result of the guard is therefore still valid at the commit.

    Args:
        store: The store to commit to.
        stored: The state that the plan was made on.
        plan: The changes.
        provenance: The person, and the commit of the webhook files.
        now: The time of the apply, with a time zone.
        lifted: Lifted limits to record besides those of the deletion guard, one sentence each.
        note: The origin of an apply that does not come from webhook files.

    Raises:
        Blocked: A change is blocked.
        Stale: The state has changed since `stored` was read.
        StateUnusable: The state is locked or cannot be used.
    """
    raise_if_blocked(plan)
    if not plan.changes:
        return stored
    entry = HistoryEntry(
        at=now,
        who=provenance.who,
        commit=provenance.commit,
        branch=provenance.branch,
        fingerprint=plan.fingerprint,
        changes=tuple(change_document(change) for change in plan.changes),
        lifted=(*(f"{change.address}: {change.allowed}" for change in plan.changes if change.allowed), *lifted),
        note=note,
    )
    return store.commit(stored, {change.address: change.after for change in plan.changes}, entry)


def rebase_saved_plan(store: StateStore, saved: Plan, limits: DeletionLimits) -> tuple[Snapshot, Plan]:
    """Rebase a saved plan on the current state.

    Raises Stale for another lineage, for a plan that was applied before, and for one with a webhook that an apply has
    touched since the plan was made, even if its content is the same again.
    """
    stored, records = store.read(), store.history()
    stale_plan.raise_if_applied(saved, records)
    stale_plan.raise_if_other_lineage(saved, stored)
    stale_plan.raise_if_changed(saved, stale_plan.changed_since(saved, stored, records), records)
    return stored, stale_plan.rebase_plan(saved, stored, limits)


def apply_saved_plan(
    store: StateStore,
    saved: Plan,
    limits: DeletionLimits,
    provenance: Provenance,
    now: datetime,
    *,
    check_commit: Callable[[], tuple[str, ...]] = tuple,
) -> Snapshot:
    """Apply every change of a saved plan to the current state, or none, and return the state after it.

    Changes to other webhooks since the plan was made, or during the apply, do not matter.

    Args:
        store: The store to commit to.
        saved: The plan, from a file.
        limits: The deletion limits of this command; a saved plan has none.
        provenance: The person, and the commit of the webhook files.
        now: The time of the apply, with a time zone.
        check_commit: Called before each attempt. Returns the lifted limits to record, or raises Blocked.

    Raises:
        Blocked, Stale, StateUnusable: As in `rebase_saved_plan` and `apply_plan`.
    """
    attempt = 1
    while True:
        stored, plan = rebase_saved_plan(store, saved, limits)
        raise_if_blocked(plan)
        lifted = check_commit()
        try:
            return apply_plan(store, stored, plan, provenance, now, lifted=lifted)
        except Stale:  # another apply was committed after the read
            if attempt == MAX_COMMIT_ATTEMPTS:
                raise
        attempt += 1


def raise_if_blocked(plan: Plan) -> None:
    """Raise Blocked, with the options that allow the deletions, if the deletion guard blocks a change of `plan`."""
    if not plan.blocked:
        return
    first, count = plan.blocked[0], len(plan.blocked)
    blocked, more = "a deletion", ""
    hint = f"restore the file; or allow this deletion with --allow-delete {first.address}"
    if count > 1:
        blocked, more = f"{count} deletions", f" (and {count - 1} more)"
        hint = f"restore the files; or allow the deletions with --allow-delete {first.address} and so on, "
        hint += f"or with --max-deletes {plan.count(Action.DELETE)} (which does not allow protected webhooks)"
    message = f"nothing was applied: the deletion guard blocks {blocked}: {first.address}: {first.blocked}{more}"
    raise Blocked(message, hint=hint)


def check_commit_order(
    records: Sequence[HistoryRecord], applied: Provenance, follows: CommitFollows, *, allow_older: bool
) -> tuple[str, ...]:
    """Check that the commit to apply is a descendant of the commit that was applied last.

    Without this check, an older merge job that runs late would undo the changes of a newer one. If the history has no
    commit, there is nothing to check. Once it has one, a commit that is not known is blocked like an older one.

    Args:
        records: The history.
        applied: The commit to apply, or the reason why it is not known.
        follows: Compares the commit to apply with an earlier one.
        allow_older: Lift this limit.

    Returns:
        The lifted limit to record, as a sentence; empty if the commit follows.

    Raises:
        Blocked: The commit does not follow, or it is not known whether it does, and `allow_older` is false.
    """
    last = next((record for record in reversed(records) if record.entry.commit is not None), None)
    if last is None or last.entry.commit is None:
        return ()
    known = applied.commit is not None
    result = follows(last.entry.commit.removesuffix(stale_plan.DIRTY_SUFFIX)) if known else None
    if result:
        return ()
    finding, hint = _order_finding(applied, last, result)
    if not allow_older:
        raise Blocked(f"nothing was applied: {finding}", hint=hint)
    return (f"{finding} (allowed by --allow-older)",)


def _order_finding(applied: Provenance, last: HistoryRecord, follows: bool | None) -> tuple[str, str]:
    """The finding and the hint for a commit that does not follow (False), or of which that is not known (None)."""
    by = stale_plan.attribution(last)
    if applied.commit is None:
        reason = applied.unknown or "no commit is known"
        finding = f"the webhook files have no known commit ({reason}), so they may be older than those applied last, "
        hint = "apply from a git checkout of the webhook files that this user may read (git must be installed; for a "
        hint += "checkout of another user: `git config --global --add safe.directory DIR`); or use --allow-older"
        return f"{finding}by {by}", hint
    here = f"commit {stale_plan.short_commit(applied.commit)}"
    if follows is None:
        hint = "fetch the whole history (`git fetch --unshallow`; in a workflow, actions/checkout with fetch-depth: "
        hint += "0); or, if that commit no longer exists, use --allow-older"
        return f"this clone does not show whether {here} follows the commit applied last, by {by}", hint
    finding = f"{here} does not follow the commit applied last, by {by}"
    return finding, "apply the latest merged commit; or allow an older one with --allow-older"
