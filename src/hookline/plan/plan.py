"""The difference between what is applied and what the files say, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hookline.canonical import Document, digest
from hookline.model import Address, FileLocation


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of the canonical document. `path` is a JSON pointer (RFC 6901); None is a field that is not set."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one webhook.

    `source` is where it is written, None for a deletion. `fields` is for updates only. `blocked` says why nothing
    may be applied; `lifted` says which brake was lifted for it, and by what. `pending` counts the undelivered events
    that the change touches, None when no spool was looked at.
    """

    address: Address
    action: Action
    source: FileLocation | None
    before: Document | None
    after: Document | None
    before_hash: str | None
    fields: tuple[FieldChange, ...] = ()
    blocked: str | None = None
    lifted: str | None = None
    pending: int | None = None


@dataclass(frozen=True, slots=True)
class Rename:
    """A deletion and a creation with equal content: the same webhook under another address, perhaps."""

    before: Address
    after: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Changes by address, for the state of this lineage and serial. `unchanged` counts what was found equal."""

    lineage: str | None
    serial: int
    changes: tuple[Change, ...]
    unchanged: int
    fingerprint: str
    renames: tuple[Rename, ...] = ()

    @property
    def blocked(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.blocked is not None)

    def count(self, action: Action) -> int:
        return sum(change.action is action for change in self.changes)


# The identity of what a plan would do.
def fingerprint(changes: Iterable[Change]) -> str:
    """``sha256:…`` over address, action, hash before and document after of each change, by address.

    Over nothing else: where a webhook is written, what is pending for it, and the serial move by themselves.
    """
    return digest(
        [
            {
                "address": str(change.address),
                "action": str(change.action),
                "beforeHash": change.before_hash,
                "after": change.after,
            }
            for change in sorted(changes, key=lambda change: change.address)
        ]
    )
