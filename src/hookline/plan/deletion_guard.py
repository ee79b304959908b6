"""The deletion guard: blocks a plan that deletes protected webhooks or unusually many webhooks.

The guard compares the deletions with the stored webhooks and with the number of webhooks that would remain. Options
of the command line allow the deletion of single addresses, or a number of deletions. No option disables the guard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    """

    allow_delete: frozenset[Address] = frozenset()
    max_deletes: int | None = None


@dataclass(frozen=True, slots=True)
class DeletionDecision:
    """`blocked` is the reason for blocking a deletion, `allowed` the limit that an option lifted for it, if any."""

    blocked: str | None = None
    allowed: str | None = None


def guard_deletions(
    deleted: frozenset[Address],
    stored: Snapshot,
    remaining: int,
    limits: DeletionLimits,
    misnamed: tuple[str, ...] = (),
) -> Mapping[Address, DeletionDecision]:
    """Decide on every deletion.

    Args:
        deleted: The addresses that would be deleted.
        stored: The state that the plan is made on.
        remaining: The number of webhooks after the apply.
        limits: The deletions that the command line allows.
        misnamed: Files that were not read and may declare the webhooks that would be deleted.
    """
    mass = _joined(_mass_deletion(len(deleted), len(stored.webhooks), remaining), _misnamed(misnamed))
    return {address: _decide(address, mass, len(deleted), stored, limits) for address in deleted}


def _mass_deletion(deleted: int, stored: int, remaining: int) -> str | None:
    if remaining == 0:
        return "no webhook would be left"
    if stored >= MIN_WEBHOOKS_FOR_SHARE and deleted > MAX_DELETED_SHARE * stored:
        return f"{deleted} of {stored} webhooks would be deleted, more than {MAX_DELETED_SHARE:.0%}"
    return None


def _misnamed(files: tuple[str, ...]) -> str | None:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{UNREAD_FILE} {files[0]}{more}" if files else None


def _decide(
    address: Address, mass: str | None, deleted: int, stored: Snapshot, limits: DeletionLimits
) -> DeletionDecision:
    protection = "the applied webhook is protected" if stored.webhooks[address].webhook.protected else None
    if address in limits.allow_delete:
        lifted = _joined(protection, mass)
        return DeletionDecision(allowed=lifted and f"{lifted} (allowed by --allow-delete {address})")
    if limits.max_deletes is None:
        return DeletionDecision(blocked=_joined(protection, mass))
    if deleted > limits.max_deletes:
        number = f"{deleted} webhooks would be deleted, more than --max-deletes {limits.max_deletes}"
        return DeletionDecision(blocked=_joined(protection, number))
    return DeletionDecision(
        blocked=protection, allowed=mass and f"{mass} (allowed by --max-deletes {limits.max_deletes})"
    )


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None
