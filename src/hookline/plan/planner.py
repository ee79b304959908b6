"""Makes the plan from the stored and the desired webhooks: a pure function."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hookline.canonical import Document, canonical_text, digest
from hookline.model import Address, Declared, Desired
from hookline.plan.deletion_guard import DeletionDecision, DeletionLimits, guard_deletions
from hookline.plan.diff import differences
from hookline.plan.move_guard import decide_move, moves_to_plan
from hookline.plan.plan import Action, Change, Plan, Rename, fingerprint
from hookline.state.store import Snapshot, Stored


def make_plan(
    stored: Snapshot, desired: Desired, limits: DeletionLimits, pending: Mapping[Address, int] | None = None
) -> Plan:
    """The changes that turn `stored` into `desired`.

    Args:
        stored: The configuration that was applied last.
        desired: The configuration in the files. If it is narrowed to some files, nothing is deleted.
        limits: The deletions and moves that the command line allows.
        pending: The number of undelivered events by address; None if no spool was read.
    """
    moves = moves_to_plan(stored, desired)
    moved = frozenset(moves.values())
    deleted = frozenset() if desired.narrowed else frozenset(stored.webhooks.keys() - desired.webhooks.keys() - moved)
    decisions = guard_deletions(deleted, stored, len(desired.webhooks), limits, desired.misnamed, moved=moved)
    counts = {} if pending is None else {**dict.fromkeys(stored.webhooks, 0), **pending}
    changes = [_delete(one, stored.webhooks[one], decisions[one], counts.get(one)) for one in deleted]
    for address, declared in desired.webhooks.items():
        found = stored.webhooks.get(address)
        if address in moves:
            old = moves[address]
            decision = decide_move(old, address, stored, decisions[old], allow_move=limits.allow_move)
            moving = _move(old, address, declared, stored.webhooks[old], decision)
            changes.append(replace(moving, pending=_pending_of_move(old, address, pending)))
        # Nearly every webhook is unchanged. Comparing two texts is a thousand times cheaper than the diff.
        elif found is None or found.canonical != declared.canonical:
            changes += _change(address, declared, found, counts.get(address))
    unchanged = len(desired.webhooks) + len(deleted) - len(changes)
    changes.sort(key=lambda change: change.address)
    return Plan(
        lineage=stored.lineage,
        serial=stored.serial,
        changes=tuple(changes),
        unchanged=unchanged,
        fingerprint=fingerprint(changes),
        renames=possible_renames(changes),
    )


def count_pending(plan: Plan, pending: Mapping[Address, int] | None) -> Plan:
    """A saved plan with the counts of this moment; unchanged if no spool was read."""
    if pending is None:
        return plan
    return replace(plan, changes=tuple(replace(one, pending=_pending_of(one, pending)) for one in plan.changes))


def _pending_of(change: Change, pending: Mapping[Address, int]) -> int | None:
    if change.moved_from is not None:
        return _pending_of_move(change.moved_from, change.address, pending)
    return pending.get(change.address, None if change.action is Action.CREATE else 0)


def _pending_of_move(old: Address, new: Address, pending: Mapping[Address, int] | None) -> int | None:
    """The deliveries that are pending for the old address, and those of an earlier webhook at the new one."""
    return None if pending is None else pending.get(old, 0) + pending.get(new, 0)


def _change(address: Address, declared: Declared, stored: Stored | None, pending: int | None) -> Iterator[Change]:
    after: Document = json.loads(declared.canonical)
    # The text of a stored document that somebody edited may not be canonical although its content is the same.
    if stored is not None and digest(after) == stored.hash:
        return
    before = None if stored is None else _sorted(stored.document)
    yield Change(
        address=address,
        action=Action.CREATE if stored is None else Action.UPDATE,
        source=declared.source,
        before=before,
        after=after,
        before_hash=None if stored is None else stored.hash,
        fields=() if before is None else differences(before, after),
        pending=pending,
        declared=declared,
    )


def _move(old: Address, new: Address, declared: Declared, stored: Stored, decision: DeletionDecision) -> Change:
    before, after = _sorted(stored.document), json.loads(declared.canonical)
    return Change(
        address=new,
        action=Action.MOVE,
        moved_from=old,
        source=declared.source,
        before=before,
        after=after,
        before_hash=stored.hash,
        fields=differences(before, after),
        blocked=decision.blocked,
        allowed=decision.allowed,
        option=decision.option,
        declared=declared,
    )


def _delete(address: Address, stored: Stored, decision: DeletionDecision, pending: int | None) -> Change:
    return Change(
        address=address,
        action=Action.DELETE,
        source=None,
        before=_sorted(stored.document),
        after=None,
        before_hash=stored.hash,
        blocked=decision.blocked,
        allowed=decision.allowed,
        option=decision.option,
        pending=pending,
    )


def _sorted(document: Document) -> Document:
    """The document with sorted keys, which the stored text has unless somebody edited it."""
    found: Document = json.loads(canonical_text(document))
    return found


def possible_renames(changes: Sequence[Change]) -> tuple[Rename, ...]:
    """Deletions and creations of equal content, paired in the order of their addresses, each once."""
    renames = []
    created: dict[str, list[Address]] = {}
    for change in changes:
        if change.action is Action.CREATE and change.after is not None:
            created.setdefault(_content(change.after), []).append(change.address)
    for change in changes:
        if change.action is Action.DELETE and change.before is not None:
            candidates = created.get(_content(change.before))
            if candidates:
                renames.append(Rename(change.address, candidates.pop(0)))
    return tuple(renames)


def _content(document: Document) -> str:
    return digest({key: value for key, value in document.items() if key not in {"organization", "sandbox"}})
