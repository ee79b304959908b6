"""Applies a plan: the only caller of `StateStore.commit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo
from functools import partial
from typing import TYPE_CHECKING

from hookline.errors import Blocked, Stale
from hookline.plan import stale_plan
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.move_guard import blocked_hint, move_hint
from hookline.plan.plan import Action, Change, Plan
from hookline.plan.plan_document import change_document
from hookline.plan.policy_check import raise_if_denied
from hookline.plan.policy_guard import PolicyGuard, recorded_overrides
from hookline.state.store import HistoryEntry, HistoryRecord, PolicyChange, Snapshot, StateStore, text_hash

if TYPE_CHECKING:  # `plan` imports this module and runs no git
    from hookline.provenance import Provenance

MAX_COMMIT_ATTEMPTS = 64
"""How often a saved plan is rebased because another apply was committed first. Each time another apply succeeds."""

_DELETION = ("deletion", "deletions")

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
    guard: PolicyGuard | None = None,
) -> Snapshot:
    """Apply every change of `plan`, or none, and return the state after it. Writes nothing if it has no changes.

    The deletion guard checked the plan against `stored`, and the store commits onto exactly that state only. The
    result of the guard is therefore still valid at the commit. The policy is checked here, and again inside the
    transaction, because a freeze window may have begun.

    Args:
        store: The store to commit to.
        stored: The state that the plan was made on.
        plan: The changes.
        provenance: The person, and the commit of the webhook files.
        now: The time of the apply, with a time zone.
        lifted: Lifted limits to record besides those of the deletion guard, one sentence each.
        note: The origin of an apply that does not come from webhook files.
        guard: Checks the policy of the state. Without one, no rule is overridden, and no file is known.

    Raises:
        Blocked: A change is blocked, or the policy denies the plan.
        Stale: The state has changed since `stored` was read.
        StateUnusable: The state is locked or cannot be used.
    """
    raise_if_blocked(plan)
    if not plan.changes:
        return stored
    guard = guard or PolicyGuard(zone_of=time_zone)
    plan = guard.checked(plan, stored, store.now)
    raise_if_denied(plan.violations)
    entry = HistoryEntry(
        at=now,
        who=provenance.who,
        commit=provenance.commit,
        branch=provenance.branch,
        fingerprint=plan.fingerprint,
        changes=tuple(change_document(change) for change in plan.changes),
        lifted=(*(f"{change.address}: {change.allowed}" for change in plan.changes if change.allowed), *lifted),
        overrides=recorded_overrides(plan),
        note=note,
    )
    left = {change.moved_from: None for change in plan.changes if change.moved_from is not None}
    written = {**left, **{change.address: change.after for change in plan.changes}}
    confirm = None if stored.policy is None else partial(guard.confirm, plan, stored)
    return store.commit(stored, written, entry, confirm)


def time_zone(name: str) -> tzinfo:
    """A time zone of this machine's database. Raises KeyError or ValueError for a name that it does not know."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only a policy with freeze windows needs it

    return ZoneInfo(name)


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
    guard: PolicyGuard | None = None,
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
        guard: Checks the policy of the state. Without one, no rule is overridden, and no file is known.

    Raises:
        Blocked, Stale, StateUnusable: As in `rebase_saved_plan` and `apply_plan`.
    """
    attempt = 1
    while True:
        stored, plan = rebase_saved_plan(store, saved, limits)
        raise_if_blocked(plan)
        lifted = check_commit()
        try:
            return apply_plan(store, stored, plan, provenance, now, lifted=lifted, guard=guard)
        except Stale:  # another apply was committed after the read
            if attempt == MAX_COMMIT_ATTEMPTS:
                raise
        attempt += 1


def commit_policy(
    store: StateStore,
    reviewed: Snapshot,
    change: PolicyChange,
    provenance: Provenance,
    now: datetime,
    *,
    lifted: tuple[str, ...] = (),
) -> Snapshot:
    """Set or clear the policy, and return the state after it. Applies to webhooks since `reviewed` do not matter.

    Args:
        store: The store to commit to.
        reviewed: The state whose policy the person has seen.
        change: The new policy.
        provenance: The person, and the commit of the policy file.
        now: The time of the apply, with a time zone.
        lifted: Lifted limits to record, one sentence each.

    Raises:
        Stale: The policy has changed since `reviewed` was read.
        StateUnusable: The state is locked, cannot be used, or this role may not set the policy.
    """
    entry = HistoryEntry(
        at=now,
        who=provenance.who,
        commit=provenance.commit,
        branch=provenance.branch,
        fingerprint=text_hash(change.text or ""),
        changes=(),
        lifted=lifted,
        policy=change,
    )
    attempt, stored = 1, reviewed
    while True:
        if stored.policy != reviewed.policy or reviewed.lineage not in {None, stored.lineage}:
            text = "nothing was changed: another apply has changed the policy since it was shown"
            raise Stale(text, hint="`hookline policy show --origin` shows by whom; run the command again")
        try:
            return store.commit(stored, {}, entry)
        except Stale:  # another apply was committed after the read
            if attempt == MAX_COMMIT_ATTEMPTS:
                raise
        attempt, stored = attempt + 1, store.read()


def raise_if_blocked(plan: Plan) -> None:
    """Raise Blocked, with the options that lift it, if the deletion guard blocks a change of `plan`."""
    if not plan.blocked:
        return
    first, count = plan.blocked[0], len(plan.blocked)
    moves = sum(change.action is Action.MOVE for change in plan.blocked)
    noun, plural = ("change", "changes") if 0 < moves < count else ("move", "moves") if moves else _DELETION
    blocked, more = (f"a {noun}", "") if count == 1 else (f"{count} {plural}", f" (and {count - 1} more)")
    message = f"nothing was applied: the deletion guard blocks {blocked}: {first.address}: {first.blocked}{more}"
    raise Blocked(message, hint=move_hint(first, count) if moves else _deletion_hint(plan, first, count))


def _deletion_hint(plan: Plan, first: Change, count: int) -> str:
    if count == 1:
        return blocked_hint(first)
    hint = f"restore the files; or allow the deletions with {first.option} and so on, "
    return f"{hint}or with --max-deletes {plan.count(Action.DELETE)} (which does not allow protected webhooks)"


def check_commit_order(
    records: Sequence[HistoryRecord],
    applied: Provenance,
    follows: CommitFollows,
    *,
    allow_older: bool,
    files: str = "the webhook files",
) -> tuple[str, ...]:
    """Check that the commit to apply is a descendant of the commit that was applied last.

    Without this check, an older merge job that runs late would undo the changes of a newer one. If the history has no
    commit, there is nothing to check. Once it has one, a commit that is not known is blocked like an older one.

    Args:
        records: The applies of the same files. Policy files may have another repository than webhook files.
        applied: The commit to apply, or the reason why it is not known.
        follows: Compares the commit to apply with an earlier one.
        allow_older: Lift this limit.
        files: The files that are applied, for the message.

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
    finding, hint = _order_finding(applied, last, result, files)
    if not allow_older:
        raise Blocked(f"nothing was applied: {finding}", hint=hint)
    return (f"{finding} (allowed by --allow-older)",)


def _order_finding(applied: Provenance, last: HistoryRecord, follows: bool | None, files: str) -> tuple[str, str]:
    """The finding and the hint for a commit that does not follow (False), or of which that is not known (None)."""
    by = stale_plan.attribution(last)
    if applied.commit is None:
        reason = applied.unknown or "no commit is known"
        finding = f"{files} have no known commit ({reason}), so they may be older than those applied last, "
        hint = f"apply from a git checkout of {files} that this user may read (git must be installed; for a "
        hint += "checkout of another user: `git config --global --add safe.directory DIR`); or use --allow-older"
        return f"{finding}by {by}", hint
    here = f"commit {stale_plan.short_commit(applied.commit)}"
    if follows is None:
        hint = "fetch the whole history (`git fetch --unshallow`; in a workflow, actions/checkout with fetch-depth: "
        hint += "0); or, if that commit no longer exists, use --allow-older"
        return f"this clone does not show whether {here} follows the commit applied last, by {by}", hint
    finding = f"{here} does not follow the commit applied last, by {by}"
    return finding, "apply the latest merged commit; or allow an older one with --allow-older"
