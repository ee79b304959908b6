"""The difference between the stored state and the webhook files, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hookline.canonical import Document, digest
from hookline.model import Address, Declared, FileLocation
from hookline.policy.violation import Violation
from hookline.state.store import MOVE_ACTION


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    MOVE = MOVE_ACTION


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the canonical document. `path` is a JSON pointer (RFC 6901). A field that is not set is None."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one webhook.

    `source` is the webhook's place in a file, None for a deletion. Only updates and moves have `fields`. A move has
    `moved_from`, the address of `before`. `blocked` is the deletion guard's reason for blocking the plan. `option`
    would lift it, if there is such an option. `allowed` is the limit that an option lifted for the change. `pending`
    counts the undelivered events that the change affects, None if no spool was read. `note` and `drain` (how long the
    pending deliveries take, before and after the change) are for the reviewer. `declared` knows the places of the
    values after the change. `option`, `allowed`, `note`, `drain` and `declared` are no part of a saved plan.
    """

    address: Address
    action: Action
    source: FileLocation | None
    before: Document | None
    after: Document | None
    before_hash: str | None
    fields: tuple[FieldChange, ...] = ()
    blocked: str | None = None
    allowed: str | None = None
    pending: int | None = None
    note: str | None = None
    moved_from: Address | None = None
    option: str | None = None
    drain: str | None = None
    declared: Declared | None = field(default=None, compare=False, repr=False)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses in the state that the change touches: two for a move."""
        return (self.address,) if self.moved_from is None else (self.moved_from, self.address)


@dataclass(frozen=True, slots=True)
class Rename:
    """A deletion and a creation with equal content: possibly the same webhook at another address."""

    before: Address
    after: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Changes, sorted by address, for the state of this lineage and serial. `unchanged` counts equal webhooks.

    `violations` are those of the state's policy. An apply checks the policy again.
    """

    lineage: str | None
    serial: int
    changes: tuple[Change, ...]
    unchanged: int
    fingerprint: str
    renames: tuple[Rename, ...] = ()
    violations: tuple[Violation, ...] = ()

    @property
    def blocked(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.blocked is not None)

    @property
    def is_denied(self) -> bool:
        """Whether the policy blocks the plan."""
        return any(violation.denies for violation in self.violations)

    def count(self, action: Action) -> int:
        return sum(change.action is action for change in self.changes)


def fingerprint(changes: Iterable[Change]) -> str:
    """``sha256:…`` over address, action, earlier address, hash before and document after of each change, sorted.

    It identifies the effect of a plan. Source lines, pending counts and the serial are not part of it, because they
    change without a change of the effect.
    """
    effects = [
        {
            "address": str(one.address),
            "action": str(one.action),
            "movedFrom": None if one.moved_from is None else str(one.moved_from),
            "beforeHash": one.before_hash,
            "after": one.after,
        }
        for one in sorted(changes, key=lambda change: change.address)
    ]
    return digest(effects)
