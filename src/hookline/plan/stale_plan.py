"""A saved plan on the state of another moment: what moved under it, and what the brakes say by now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC

from hookline.errors import Stale
from hookline.escaping import printable
from hookline.plan.deletion_guard import DeletionDecision, DeletionLimits, guard_deletions
from hookline.plan.plan import Action, Change, Plan
from hookline.state.store import Record, Snapshot

DIRTY = "-dirty"
"""Ends a commit in the history, as `git describe --dirty` writes it: the files were not those of the commit."""
_SHOWN = 5
_DONE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}


def changed_since(saved: Plan, stored: Snapshot) -> tuple[Change, ...]:
    """The changes whose own webhook is not as it was when the plan was made; what became of others is no matter."""
    return tuple(change for change in saved.changes if change.before_hash != _hash(change, stored))


def _hash(change: Change, stored: Snapshot) -> str | None:
    found = stored.webhooks.get(change.address)
    return None if found is None else found.hash


def rebase(saved: Plan, stored: Snapshot, brakes: DeletionLimits) -> Plan:
    """The same changes, for `stored`, with its deletions judged anew. Nothing of `saved` may have moved."""
    deleted = frozenset(change.address for change in saved.changes if change.action is Action.DELETE)
    left = len(stored.webhooks) - len(deleted) + saved.count(Action.CREATE)
    judgements = guard_deletions(deleted, stored, left, brakes)
    free = DeletionDecision()
    changes = []
    for change in saved.changes:
        judgement = judgements.get(change.address, free)
        changes.append(replace(change, blocked=judgement.blocked, lifted=judgement.lifted))
    unchanged = len(stored.webhooks) - len(deleted) - saved.count(Action.UPDATE)
    return replace(saved, lineage=stored.lineage, serial=stored.serial, changes=tuple(changes), unchanged=unchanged)


def refuse_applied(saved: Plan, records: Iterable[Record]) -> None:
    """Raise Stale when the history, of a state that does not fit `saved` any more, holds its apply."""
    done = [one for one in records if one.serial > saved.serial and one.entry.fingerprint == saved.fingerprint]
    if done:
        raise Stale(
            f"nothing is applied, for this plan was applied already, by {attribution(done[-1])}",
            hint="there is nothing to do; `hookline plan` shows what is left to change, if anything",
        )


def refuse_other_lineage(saved: Plan, stored: Snapshot) -> None:
    """Raise Stale when `saved` was made for another state, or for none where there is one by now."""
    if saved.lineage == stored.lineage:
        return
    if saved.lineage is None:
        found = f"it was made before there was a state, and now there is one, at serial {stored.serial}"
    elif stored.lineage is None:
        found = f"it was made for the state {printable(saved.lineage)}, and here there is none"
    else:
        found = f"it was made for the state {printable(saved.lineage)}, and this is {stored.lineage}"
    raise Stale(f"nothing is applied, for the plan does not fit this state: {found}", hint=_hint(saved))


def refuse_moved(saved: Plan, changes: Sequence[Change], records: Sequence[Record]) -> None:
    """Raise Stale when any change has moved, naming each webhook, who changed it, when and at which commit."""
    if not changes:
        return
    told = "; ".join(_told(saved, change, records) for change in changes[:_SHOWN])
    more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    raise Stale(
        f"nothing is applied, for what the plan was made on (serial {saved.serial}) has changed: {told}{more}",
        hint=_hint(saved),
    )


def _hint(saved: Plan) -> str:
    return f"plan again, and have that reviewed; this was {saved.fingerprint}"


def _told(saved: Plan, change: Change, records: Iterable[Record]) -> str:
    address = str(change.address)
    touching = [
        (record, action)
        for record in records
        for action in [_action_on(record, address)]
        if record.serial > saved.serial and action is not None
    ]
    if not touching:
        return f"{printable(address)} is not as planned, and no apply changed it: `hookline drift` tells more"
    record, action = touching[-1]
    return f"{printable(address)} was {action} by {attribution(record)}"


def _action_on(record: Record, address: str) -> str | None:
    found = next((change for change in record.entry.changes if change.get("address") == address), None)
    return None if found is None else _DONE.get(found["action"], "changed")


def attribution(record: Record) -> str:
    """Who, when, in which serial and at which commit, as the history says: ``ada on … in serial 5 (commit …)``."""
    entry = record.entry
    at = entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f" on {entry.branch}" if entry.branch else ""
    commit = f" (commit {short_commit(entry.commit)}{where})" if entry.commit else ""
    return printable(f"{entry.who} on {at} in serial {record.serial}{commit}")


def short_commit(commit: str) -> str:
    """Twelve digits of a commit, and that it was not clean where that is so."""
    clean = commit.removesuffix(DIRTY)
    return clean[:12] + commit[len(clean) :]
