"""A plan becomes the next state: the only caller of `StateStore.commit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from hookline.errors import Blocked, Stale
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.plan_file import change_document
from hookline.plan.stale_plan import (
    DIRTY,
    attribution,
    changed_since,
    rebase,
    refuse_applied,
    refuse_moved,
    refuse_other_lineage,
    short_commit,
)
from hookline.provenance import Provenance
from hookline.state.store import Entry, Record, Snapshot, StateStore

ATTEMPTS = 64
"""How often a saved plan is judged again because another apply was quicker. Each time that other one did get through,
so this many in a row are a crowd, not a standstill."""

Contains = Callable[[str], bool | None]
"""Whether the commit that is applied now is, or comes after, the given one; None when that cannot be told."""


def apply_plan(
    store: StateStore,
    stored: Snapshot,
    plan: Plan,
    provenance: Provenance,
    now: datetime,
    *,
    lifted: tuple[str, ...] = (),
) -> Snapshot:
    """Apply every change of `plan`, which was made on `stored`, or none.

    The brakes were judged on `stored`, and the store commits only onto exactly that state: so they hold for the
    state of the moment. `lifted` names what was lifted beside the brakes on deletions. Writes nothing when the plan
    holds no change. Returns the state after the apply.
    Raises Blocked when a change is blocked, Stale when the state has moved, Unusable when it is locked.
    """
    refuse_blocked(plan)
    if not plan.changes:
        return stored
    entry = Entry(
        at=now,
        who=provenance.who,
        commit=provenance.commit,
        branch=provenance.branch,
        fingerprint=plan.fingerprint,
        changes=tuple(change_document(change) for change in plan.changes),
        lifted=(*(f"{change.address}: {change.lifted}" for change in plan.changes if change.lifted), *lifted),
    )
    return store.commit(stored, {change.address: change.after for change in plan.changes}, entry)


def fit_saved(store: StateStore, saved: Plan, brakes: DeletionLimits) -> tuple[Snapshot, Plan]:
    """The state of this moment, and the saved plan's changes judged for it.

    Raises Stale when the plan is of another state, or when one of its own webhooks has changed since it was made.
    """
    stored = store.read()
    changed = changed_since(saved, stored)
    if changed or saved.lineage != stored.lineage:
        records = store.history()
        refuse_applied(saved, records)
        refuse_other_lineage(saved, stored)
        refuse_moved(saved, changed, records)
    return stored, rebase(saved, stored, brakes)


def apply_saved(
    store: StateStore,
    saved: Plan,
    brakes: DeletionLimits,
    provenance: Provenance,
    now: datetime,
    *,
    judge_commit: Callable[[], tuple[str, ...]] = tuple,
) -> Snapshot:
    """Apply a saved plan onto the state of this moment, or nothing of it.

    What happened to other webhooks since it was made, or happens meanwhile, does not matter. `judge_commit` is asked
    before each commit what is to be recorded as lifted, and raises Blocked. Raises like `fit_saved` and `apply_plan`.
    """
    attempt = 1
    while True:
        stored, plan = fit_saved(store, saved, brakes)
        refuse_blocked(plan)
        lifted = judge_commit()
        try:
            return apply_plan(store, stored, plan, provenance, now, lifted=lifted)
        except Stale:  # another apply was committed between our reading and our commit
            if attempt == ATTEMPTS:
                raise
        attempt += 1


def refuse_blocked(plan: Plan) -> None:
    """Raise Blocked, naming how to go on, when any change of `plan` is blocked."""
    if not plan.blocked:
        return
    first, count = plan.blocked[0], len(plan.blocked)
    what, more = ("a deletion is", "") if count == 1 else (f"{count} deletions are", f" (and {count - 1} more)")
    hint = f"put the file back; or, if this is meant, aim at it: --allow-delete {first.address}"
    if count > 1:
        hint = (
            f"put the files back; or, if this is meant, aim: --allow-delete {first.address} and so on, "
            f"or --max-deletes {len([c for c in plan.changes if c.after is None])} (which deletes no protected one)"
        )
    raise Blocked(f"nothing is applied, for {what} blocked: {first.address}: {first.blocked}{more}", hint=hint)


def refuse_older_commit(
    records: Sequence[Record], commit: str | None, contains: Contains, *, allow_older: bool
) -> tuple[str, ...]:
    """What to record as lifted: that a commit is applied which does not follow the one applied last.

    Merge jobs that overtake each other would undo each other's changes. Without a commit, now or ever, there is
    nothing to compare. Raises Blocked unless `allow_older`.
    """
    last = next((record for record in reversed(records) if record.entry.commit is not None), None)
    if commit is None or last is None or last.entry.commit is None:
        return ()
    follows = contains(last.entry.commit.removesuffix(DIRTY))
    if follows:
        return ()
    here = f"commit {short_commit(commit)}"
    found = f"{here} does not follow the one applied last, by {attribution(last)}"
    hint = "apply what is merged by now; or, if going back is meant, say so: --allow-older"
    if follows is None:
        found = f"this clone cannot tell whether {here} follows the one applied last, by {attribution(last)}"
        hint = (
            "fetch the whole history (`git fetch --unshallow`; in a workflow, actions/checkout with fetch-depth: 0); "
            "or, if that commit is gone for good, say so: --allow-older"
        )
    if not allow_older:
        raise Blocked(f"nothing is applied, for {found}", hint=hint)
    return (f"{found} (lifted by --allow-older)",)
