"""A plan becomes the next state: the only caller of `StateStore.commit`."""

from __future__ import annotations

from datetime import datetime

from hookline.errors import Blocked
from hookline.plan.changes import Plan
from hookline.plan.render_json import change_document
from hookline.provenance import Provenance
from hookline.state.port import Entry, StateStore
from hookline.state.snapshot import Snapshot


def apply_plan(store: StateStore, stored: Snapshot, plan: Plan, provenance: Provenance, now: datetime) -> Snapshot:
    """Apply every change of `plan`, which was made on `stored`, or none.

    The brakes were judged on `stored`, and the store commits only onto exactly that state: so they hold for the
    state of the moment. Writes nothing when the plan holds no change. Returns the state after the apply.
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
        lifted=tuple(f"{change.address}: {change.lifted}" for change in plan.changes if change.lifted),
    )
    return store.commit(stored, {change.address: change.after for change in plan.changes}, entry)


def refuse_blocked(plan: Plan) -> None:
    """Raise Blocked, naming how to go on, when any change of `plan` is blocked."""
    if not plan.blocked:
        return
    first = plan.blocked[0]
    more = f" (and {len(plan.blocked) - 1} more)" if len(plan.blocked) > 1 else ""
    raise Blocked(
        f"nothing is applied, for a deletion is blocked: {first.address}: {first.blocked}{more}",
        hint=f"put the file back; or, if this is meant, aim at it: --allow-delete {first.address}",
    )
