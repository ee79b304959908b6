"""The deletion guard: blocks a plan that deletes protected webhooks or unusually many webhooks.

The guard compares the deletions with the stored webhooks and with the number of webhooks that would remain. A move
counts as a deletion of the old address. Options of the command line allow the deletion of single addresses, or a
number of deletions. No option disables the guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hookline.model import Address
from hookline.state.store import Snapshot

MIN_WEBHOOKS_FOR_SHARE = 10
"""The share of deletions is limited if at least this many webhooks are stored."""
MAX_DELETED_SHARE = 0.30
UNREAD_FILE = "its file may be one that is not read because of its name:"
"""Begins the reason for a deletion that a misnamed file may cause. A saved plan keeps this reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionLimits:
    """The deletions that the command line allows.

    `allow_delete` lifts every limit for its addresses. `max_deletes` replaces the limits on the share of deletions
    and on an emptied directory with a maximum number. It does not allow the deletion of protected webhooks.
    `allow_move` allows moves to another organization.
    """

    allow_delete: frozenset[Address] = frozenset()
    max_deletes: int | None = None
    allow_move: bool = False


@dataclass(frozen=True, slots=True)
class DeletionDecision:
    """`blocked` is the reason for blocking a deletion or a move, and `option` lifts it, if there is such an option.
    `allowed` is the limit that an option lifted for it, if any."""

    blocked: str | None = None
    allowed: str | None = None
    option: str | None = None


NO_DECISION = DeletionDecision()


def guard_deletions(
    deleted: frozenset[Address],
    stored: Snapshot,
    remaining: int,
    limits: DeletionLimits,
    misnamed: tuple[str, ...] = (),
    *,
    moved: frozenset[Address] = frozenset(),
) -> Mapping[Address, DeletionDecision]:
    """Decide on every deletion, and on every old address of a move.

    Args:
        deleted: The addresses that would be deleted.
        stored: The state that the plan is made on.
        remaining: The number of webhooks after the apply.
        limits: The deletions that the command line allows.
        misnamed: Files that were not read and may declare the webhooks that would be deleted.
        moved: The old addresses of the webhooks that would move.
    """
    removed = len(deleted) + len(moved)
    verb = "deleted or moved" if deleted and moved else "moved" if moved else "deleted"
    mass = _mass_deletion(removed, len(stored.webhooks), remaining, verb)
    reasons = {address: join_reasons(mass, _misnamed(misnamed)) for address in deleted} | dict.fromkeys(moved, mass)
    too_many = None
    if limits.max_deletes is not None and removed > limits.max_deletes:
        too_many = f"{removed} webhooks would be {verb}, more than --max-deletes {limits.max_deletes}"
    return {address: _decide(address, reason, too_many, stored, limits) for address, reason in reasons.items()}


def _mass_deletion(removed: int, stored: int, remaining: int, verb: str) -> str | None:
    if remaining == 0:
        return "no webhook would be left"
    if stored >= MIN_WEBHOOKS_FOR_SHARE and removed > MAX_DELETED_SHARE * stored:
        return f"{removed} of {stored} webhooks would be {verb}, more than {MAX_DELETED_SHARE:.0%}"
    return None


def _misnamed(files: tuple[str, ...]) -> str | None:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{UNREAD_FILE} {files[0]}{more}" if files else None


def _decide(
    address: Address, mass: str | None, too_many: str | None, stored: Snapshot, limits: DeletionLimits
) -> DeletionDecision:
    """`mass` is the limit that the deletions exceed, `too_many` the number of the command line that they exceed."""
    protection = "the applied webhook is protected" if stored.webhooks[address].webhook.protected else None
    option = f"--allow-delete {address}"
    if address in limits.allow_delete:
        lifted = join_reasons(protection, mass)
        return DeletionDecision(allowed=lifted and f"{lifted} (allowed by {option})")
    if limits.max_deletes is None:
        return _blocked(join_reasons(protection, mass), option)
    if too_many is not None:
        return _blocked(join_reasons(protection, too_many), option)
    allowed = mass and f"{mass} (allowed by --max-deletes {limits.max_deletes})"
    return replace(_blocked(protection, option), allowed=allowed)


def _blocked(reason: str | None, option: str) -> DeletionDecision:
    return DeletionDecision(blocked=reason, option=option if reason else None)


def join_reasons(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None
