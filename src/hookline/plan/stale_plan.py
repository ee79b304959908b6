"""Saved plans and a state that has changed since: finds the changes, and rebases a plan on the current state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from hookline.errors import Stale
from hookline.escaping import printable
from hookline.plan.deletion_guard import NO_DECISION, UNREAD_FILE, DeletionLimits, guard_deletions
from hookline.plan.move_guard import decide_move, is_refused
from hookline.plan.plan import Action, Change, Plan
from hookline.state.store import HistoryRecord, Snapshot

DIRTY_SUFFIX = "-dirty"
"""Ends a commit in the history if the files differ from the commit, as in `git describe --dirty`."""
_MAX_LISTED = 5
_PAST_TENSE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted", Action.MOVE: "moved"}


def changed_since(saved: Plan, stored: Snapshot, records: Iterable[HistoryRecord]) -> tuple[Change, ...]:
    """The changes of `saved` whose webhook an apply has touched since the plan was made, or that do not fit `stored`.

    The history decides, not the content: a webhook that was changed and changed back has been touched. Other webhooks
    do not matter.
    """
    touched = {
        address
        for record in records
        if record.serial > saved.serial
        for found in record.entry.changes
        for address in _addresses(found)
    }
    return tuple(
        change
        for change in saved.changes
        if not touched.isdisjoint(map(str, change.addresses)) or not _fits(change, stored)
    )


def _addresses(change: Mapping[str, Any]) -> tuple[Any, ...]:
    """The addresses of a change in the history: two for a move, first the old one."""
    return tuple(change[key] for key in ("movedFrom", "address") if change.get(key) is not None)


def _fits(change: Change, stored: Snapshot) -> bool:
    """Whether the state still has the webhook that the plan changes, with the same content."""
    found = stored.webhooks.get(change.address)
    if change.moved_from is not None:
        if (found is not None) != is_refused(change.blocked):
            return False
        found = stored.webhooks.get(change.moved_from)
    return change.before_hash == (found.hash if found else None)


def rebase_plan(saved: Plan, stored: Snapshot, limits: DeletionLimits) -> Plan:
    """The same changes for `stored`, with a new decision on deletions and moves. `changed_since` must be empty."""
    deleted = frozenset(change.address for change in saved.changes if change.action is Action.DELETE)
    moved = frozenset(change.moved_from for change in saved.changes if change.moved_from is not None)
    remaining = len(stored.webhooks) - len(deleted) + saved.count(Action.CREATE)
    decisions = guard_deletions(deleted, stored, remaining, limits, moved=moved)
    changes = []
    for change in saved.changes:
        decision = decisions.get(change.moved_from or change.address, NO_DECISION)
        if change.moved_from is not None:
            old, new, allow_move = change.moved_from, change.address, limits.allow_move
            decision = decide_move(old, new, stored, decision, allow_move=allow_move)
        elif change.blocked is not None:
            unread = _unread_files(change)
            again = guard_deletions(deleted, stored, remaining, limits, unread, moved=moved)
            decision = again.get(change.address, NO_DECISION)
        changes.append(replace(change, blocked=decision.blocked, allowed=decision.allowed, option=decision.option))
    unchanged = len(stored.webhooks) - len(deleted) - saved.count(Action.UPDATE) - len(moved)
    return replace(saved, lineage=stored.lineage, serial=stored.serial, changes=tuple(changes), unchanged=unchanged)


def _unread_files(change: Change) -> tuple[str, ...]:
    """The misnamed file that the plan found. Only this reason comes from the files, which an apply does not read."""
    _, found, file = (change.blocked or "").partition(f"{UNREAD_FILE} ")
    return (printable(file),) if found else ()


def raise_if_applied(saved: Plan, records: Iterable[HistoryRecord]) -> None:
    """Raise Stale if the history has an apply of this plan. The message names a later apply of its webhooks."""
    records = tuple(records)
    done = [one for one in records if one.serial > saved.serial and one.entry.fingerprint == saved.fingerprint]
    if not done:
        return
    found = f"nothing was applied: this plan was applied already, by {attribution(done[-1])}"
    later = describe_later_apply(saved, done[-1], records)
    hint = "nothing needs to be done; `hookline plan` shows the remaining changes, if there are any"
    raise Stale(f"{found}{later}", hint=_hint(saved) if later else hint)


def raise_if_expected_before(expected: Plan, records: Iterable[HistoryRecord]) -> None:
    """Raise Stale if the history has an apply of the plan that `--expect` names, although it has changes again.

    A later apply has undone it. A fingerprint does not contain the time of its plan, so an old job that runs again
    would undo that later apply.
    """
    records = tuple(records)
    done = [one for one in records if one.entry.fingerprint == expected.fingerprint]
    if done:
        found = f"nothing was applied: the expected plan was applied already, by {attribution(done[-1])}"
        later = describe_later_apply(expected, done[-1], records) or "; its webhooks were changed since then"
        hint = "if these changes are wanted again, review the plan above and add --allow-again; or save a new plan "
        hint += "(`hookline plan --out FILE`) and apply that file"
        raise Stale(f"{found}{later}", hint=hint)


def describe_later_apply(plan: Plan, done: HistoryRecord, records: Iterable[HistoryRecord]) -> str:
    """The last apply after `done` that touched a webhook of `plan`, as the end of a sentence; empty without one."""
    addresses = {str(address) for change in plan.changes for address in change.addresses}
    touching = [
        (record, str(address))
        for record in records
        if record.serial > done.serial
        for found in record.entry.changes
        for address in _addresses(found)
        if address in addresses
    ]
    if not touching:
        return ""
    record, address = touching[-1]
    note = f" ({record.entry.note})" if record.entry.note else ""
    return printable(f"; since then {address} was changed by {attribution(record)}{note}")


def raise_if_other_lineage(saved: Plan, stored: Snapshot) -> None:
    """Raise Stale if `saved` was made for another state, or before the state was created."""
    if saved.lineage == stored.lineage:
        return
    if saved.lineage is None:
        found = f"it was made before the state was created, which is now at serial {stored.serial}"
    elif stored.lineage is None:
        found = f"it was made for the state {printable(saved.lineage)}, but no state exists here"
    else:
        found = f"it was made for the state {printable(saved.lineage)}, but this is {stored.lineage}"
    raise Stale(f"nothing was applied: the plan does not match this state: {found}", hint=_hint(saved))


def raise_if_changed(saved: Plan, changes: Sequence[Change], records: Sequence[HistoryRecord]) -> None:
    """Raise Stale if `changes` is not empty. The message names each webhook, and who changed it, when and how."""
    if not changes:
        return
    listed = "; ".join(_describe(saved, change, records) for change in changes[:_MAX_LISTED])
    more = f"; and {len(changes) - _MAX_LISTED} more" if len(changes) > _MAX_LISTED else ""
    changed = f"the state has changed since the plan was made (serial {saved.serial}): {listed}{more}"
    raise Stale(f"nothing was applied: {changed}", hint=_hint(saved))


def _hint(saved: Plan) -> str:
    return f"plan again, and have the new plan reviewed; the old one was {saved.fingerprint}"


def _describe(saved: Plan, change: Change, records: Iterable[HistoryRecord]) -> str:
    own = tuple(map(str, change.addresses))
    touching = [
        (record, found, str(address))
        for record in records
        if record.serial > saved.serial
        for found in record.entry.changes
        for address in _addresses(found)
        if address in own
    ]
    if not touching:
        return f"{printable(own[0])} has changed without an apply: run `hookline drift` for details"
    record, found, address = touching[-1]
    action = _PAST_TENSE.get(found["action"], "changed")
    if found["action"] == Action.MOVE:
        address, action = str(found.get("movedFrom")), f"moved to {printable(str(found['address']))}"
    return f"{printable(address)} was {action} by {attribution(record)}"


def attribution(record: HistoryRecord) -> str:
    """Person, time, serial and commit of an apply: ``ada on … in serial 5 (commit …)``."""
    entry = record.entry
    at = entry.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    where = f" on {entry.branch}" if entry.branch else ""
    commit = f" (commit {short_commit(entry.commit)}{where})" if entry.commit else ""
    return printable(f"{entry.who} on {at} in serial {record.serial}{commit}")


def short_commit(commit: str) -> str:
    """The first twelve digits of a commit, with ``-dirty`` if it has that suffix."""
    clean = commit.removesuffix(DIRTY_SUFFIX)
    return clean[:12] + commit[len(clean) :]
