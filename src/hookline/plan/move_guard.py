"""Moves: a webhook whose file names its earlier address in `movedFrom` replaces a deletion and a creation.

The files declare nothing at an earlier address, and no two webhooks name the same one: `config` refuses both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from hookline.escaping import printable
from hookline.model import Address, Desired
from hookline.plan.deletion_guard import DeletionDecision, join_reasons
from hookline.plan.plan import Change
from hookline.state.moved_webhooks import MovedWebhooks
from hookline.state.store import Move, Snapshot

ALLOW_MOVE = "--allow-move"
_BOTH_STORED = "the state holds both addresses"


def moves_to_plan(stored: Snapshot, desired: Desired) -> Mapping[Address, Address]:
    """The address in the state of each webhook that moves, by its address in the files.

    A webhook may have moved on from the address in `movedFrom` by recorded moves: the same files serve several
    states, and the file of a webhook that moves again keeps the first address. A `movedFrom` that was applied has no
    effect, even if the state has another webhook at the earlier address again.
    """
    applied = earlier_addresses(stored.moves)
    direct = {
        new: old
        for new, old in desired.moved_from.items()
        if old in stored.webhooks
        and new in desired.webhooks
        and not (new in stored.webhooks and old in applied.get(new, ()))
    }
    return {**direct, **_moved_on(stored, desired, frozenset(direct.values()))}


def _moved_on(stored: Snapshot, desired: Desired, taken: frozenset[Address]) -> Mapping[Address, Address]:
    """Those that have another address in the state than `movedFrom`. The files declare nothing there, and name it
    once."""
    moved = MovedWebhooks(stored.moves)
    found = {
        new: present
        for new, old in desired.moved_from.items()
        if new in desired.webhooks and new not in stored.webhooks
        and (present := moved.new_address(old, stored.webhooks)) is not None
        and present not in desired.webhooks and present not in taken
    }  # fmt: skip
    times = Counter(found.values())
    return {new: present for new, present in found.items() if times[present] == 1}


def earlier_addresses(moves: Iterable[Move]) -> Mapping[Address, tuple[Address, ...]]:
    """All addresses that each moved webhook had before, the latest first, by its last one."""
    earlier: dict[Address, tuple[Address, ...]] = {}
    for move in moves:
        earlier[move.new] = (move.old, *earlier.pop(move.old, ()))
    return earlier


def decide_move(
    old: Address, new: Address, stored: Snapshot, guarded: DeletionDecision, *, allow_move: bool
) -> DeletionDecision:
    """Decide on one move.

    Args:
        old: The address in the state.
        new: The address in the files.
        stored: The state that the plan is made on.
        guarded: The deletion guard's decision on the old address.
        allow_move: Whether the command line allows a move to another organization.
    """
    if new in stored.webhooks:
        advice = f"delete {old} or {new} in an apply of its own first, or remove movedFrom"
        return DeletionDecision(blocked=f"{_BOTH_STORED}, {old} and {new}: {advice}")
    if old.organization == new.organization:
        return guarded
    other = f"the webhook moves to another organization, {new.organization}"
    if allow_move:
        allowed = join_reasons(guarded.allowed, f"{other} (allowed by {ALLOW_MOVE})")
        return DeletionDecision(guarded.blocked, allowed, guarded.option)
    option = f"{ALLOW_MOVE} {guarded.option}" if guarded.option else ALLOW_MOVE
    return DeletionDecision(join_reasons(guarded.blocked, other), guarded.allowed, option)


def is_refused(reason: str | None) -> bool:
    """Whether a move is blocked because the state holds both addresses. No option lifts that."""
    return reason is not None and reason.startswith(_BOTH_STORED)


def move_hint(first: Change, count: int) -> str:
    """The next step for `count` blocked changes, some of them moves; `first` is the first of all."""
    hint = blocked_hint(first)
    return hint if count == 1 else f"{hint}; the plan shows the reason for each of the others"


def blocked_hint(change: Change) -> str:
    """The next step for one blocked change."""
    if change.source is None:
        option = change.option or f"--allow-delete {change.address}"
        return printable(f"restore the file; or allow this deletion with {option}")
    place = f"{change.source.file}:{change.source.line}"
    if change.option is None:
        return printable(f"correct movedFrom in {place}")
    return printable(
        f"if the move is not intended, correct movedFrom in {place}; otherwise allow it with {change.option}"
    )
