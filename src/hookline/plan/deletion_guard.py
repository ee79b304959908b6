"""The brakes on deletions: a run that deletes more than anyone is likely to mean is stopped before it starts.

A brake looks at what would be deleted, what is stored and what would be left; the command line lifts it, for one
address or up to a number, never as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hookline.model import Address
from hookline.state.store import Snapshot

MIN_WEBHOOKS_FOR_SHARE = 10
"""The share of deletions is judged from this many stored webhooks on."""
MAX_DELETED_SHARE = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionLimits:
    """What the command line says of deletions.

    `allow_delete` lifts every brake for its addresses. `max_deletes` replaces the brakes on an emptied directory
    and on the share of deletions by a number; it does not lift protection.
    """

    allow_delete: frozenset[Address] = frozenset()
    max_deletes: int | None = None


@dataclass(frozen=True, slots=True)
class DeletionDecision:
    """Of one deletion: why it is blocked, or which brake was lifted for it; both None when no brake touched it."""

    blocked: str | None = None
    lifted: str | None = None


def guard_deletions(
    deleted: frozenset[Address], stored: Snapshot, left: int, brakes: DeletionLimits
) -> Mapping[Address, DeletionDecision]:
    """A judgement for every address that would be deleted; `left` counts the webhooks that there would be then."""
    mass = _mass_deletion(len(deleted), len(stored.webhooks), left)
    return {address: _judge(address, mass, len(deleted), stored, brakes) for address in deleted}


def _mass_deletion(deleted: int, stored: int, left: int) -> str | None:
    if left == 0:
        return "no webhook would be left"
    if stored >= MIN_WEBHOOKS_FOR_SHARE and deleted > MAX_DELETED_SHARE * stored:
        return f"{deleted} of {stored} webhooks would be deleted, more than {MAX_DELETED_SHARE:.0%}"
    return None


def _judge(
    address: Address, mass: str | None, deleted: int, stored: Snapshot, brakes: DeletionLimits
) -> DeletionDecision:
    protection = "the applied webhook is protected" if stored.webhooks[address].webhook.protected else None
    if address in brakes.allow_delete:
        lifted = _joined(protection, mass)
        return DeletionDecision(lifted=lifted and f"{lifted} (lifted by --allow-delete {address})")
    if brakes.max_deletes is None:
        return DeletionDecision(blocked=_joined(protection, mass))
    if deleted > brakes.max_deletes:
        number = f"{deleted} webhooks would be deleted, more than --max-deletes {brakes.max_deletes}"
        return DeletionDecision(blocked=_joined(protection, number))
    return DeletionDecision(
        blocked=protection, lifted=mass and f"{mass} (lifted by --max-deletes {brakes.max_deletes})"
    )


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(reason for reason in reasons if reason) or None
