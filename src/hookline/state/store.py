"""The port of a state store. Every store passes the suite in tests/contract/test_state_store.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from hookline.canonical import Document, canonical_text, digest, read_webhook
from hookline.model import Address, Declared, Webhook

DocumentWrites: TypeAlias = Mapping[Address, Document | None]
"""The canonical documents that a commit writes, by address; None deletes the webhook."""

Confirm: TypeAlias = Callable[[datetime], object]
"""The last check of a commit. Raises Blocked or Stale to prevent it."""

MOVE_ACTION: Final = "move"
"""The action of a change that moves a webhook from the address in ``movedFrom``."""


@dataclass(frozen=True)
class Stored:
    """One applied webhook: the text of its canonical document, and values that are read from it when first used."""

    canonical: str

    @classmethod
    def of(cls, document: Document) -> Stored:
        return cls(canonical_text(document))

    @cached_property
    def document(self) -> Document:
        found: Document = json.loads(self.canonical)
        return found

    @cached_property
    def webhook(self) -> Webhook:
        return read_webhook(self.document)

    @cached_property
    def hash(self) -> str:
        """``sha256:…`` of the canonical document. Webhooks are equal if their hashes are equal."""
        return digest(self.document)


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """The policy of a state: the canonical JSON of its document, which the state does not interpret.

    `hash` is ``sha256:…`` of the text. `serial` is the apply that set it.
    """

    text: str
    hash: str
    serial: int

    @classmethod
    def of(cls, text: str, serial: int) -> StoredPolicy:
        return cls(text, text_hash(text), serial)


def text_hash(text: str) -> str:
    """``sha256:…`` of a canonical text, equal to `canonical.digest` of its value."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Move:
    """An applied webhook that got another address. `serial` is the apply that moved it."""

    old: Address
    new: Address
    serial: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration that was applied last.

    `lineage` is the identity of the state, None before the first apply. `serial` counts its applies from 1. `moves`
    are all recorded moves in the order of their serials, those of one serial by their old address. A relay follows
    those after the serial that its spool has followed. No move is ever removed: the identity of a webhook, from which
    the ids of its deliveries come, is the result of all moves, and a spool from a backup follows old ones.
    """

    lineage: str | None
    serial: int
    webhooks: Mapping[Address, Stored]
    policy: StoredPolicy | None = None
    moves: tuple[Move, ...] = ()

    def after(self, lineage: str, written: DocumentWrites, entry: HistoryEntry | None = None) -> Snapshot:
        """The snapshot of the next serial: this one with `written`, and with the policy and the moves of `entry`."""
        serial, policy, moves = self.serial + 1, self.policy, self.moves
        webhooks = {address: stored for address, stored in self.webhooks.items() if address not in written}
        webhooks.update(
            {address: Stored.of(document) for address, document in written.items() if document is not None}
        )
        if entry is not None:
            moves += entry.moves(serial)
            policy = entry.policy.stored(serial) if entry.policy is not None else policy
        return Snapshot(lineage, serial, dict(sorted(webhooks.items())), policy, moves)


EMPTY = Snapshot(lineage=None, serial=0, webhooks={})


@dataclass(frozen=True, slots=True)
class Override:
    """A rule of the policy that was lifted for one apply, and the reason that the person gave."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """An apply that sets the policy, or removes it (`text` is None). `source` is the policy file, as it was named."""

    text: str | None
    source: str | None = None

    def stored(self, serial: int) -> StoredPolicy | None:
        return None if self.text is None else StoredPolicy.of(self.text, serial)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One apply.

    `at` has a time zone. `changes` are the plan's changes in their JSON form. `lifted` has one sentence for each
    limit that was lifted for this apply, `overrides` has the rules of the policy that were lifted. An apply that
    changes the `policy` has no `changes`. `note` explains an apply that does not come from webhook files
    (``rollback to 3``).
    """

    at: datetime
    who: str
    commit: str | None
    branch: str | None
    fingerprint: str
    changes: tuple[Mapping[str, Any], ...]
    lifted: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    policy: PolicyChange | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("the time of an apply needs a time zone")

    def moves(self, serial: int) -> tuple[Move, ...]:
        """The moves of this apply at `serial`, by old address. Raises ValueError for an invalid address."""
        moved = (
            Move(Address.parse(str(change.get("movedFrom"))), Address.parse(change["address"]), serial)
            for change in self.changes
            if change.get("action") == MOVE_ACTION
        )
        return tuple(sorted(moved, key=lambda move: move.old))


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """An entry in the history. `hash` covers the entry and all entries before it (state.history_chain)."""

    serial: int
    entry: HistoryEntry
    hash: str


NONE_DECLARED: Final[Mapping[Address, Declared]] = MappingProxyType({})


class StateStore(Protocol):
    def read(self, declared: Mapping[Address, Declared] = NONE_DECLARED) -> Snapshot:
        """The current state, EMPTY if there is none. Opens the store read-only and leaves no file behind.

        A command calls it once; the relay calls it when `version` has changed. Raises StateUnusable if the state
        exists and cannot be read: it is damaged, an empty file, or written by a newer hookline.

        `declared` has valid webhooks. A stored document with the same text is valid as well, so it is not decoded.
        Nearly all are the same when a plan is made. The result does not depend on `declared`.
        """

    def version(self) -> tuple[str | None, int]:
        """Lineage and serial. The relay calls this every second. Raises StateUnusable like `read`."""

    def history(self) -> tuple[HistoryRecord, ...]:
        """Every apply, the oldest first; empty if there is no state. Raises StateUnusable like `read`."""

    def now(self) -> datetime:
        """The time by the clock that decides freeze windows: the database's, where the state is in one."""

    def commit(
        self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry, confirm: Confirm | None = None
    ) -> Snapshot:
        """Write the documents, the entry, and the entry's policy and moves in one transaction, or write nothing.

        `base` is the state that the change was decided on. Returns the state after the write. Raises Stale if the
        stored lineage or serial differs from that of `base`, StateUnusable if the state is locked.

        `confirm` is called inside the transaction, once `base` is known to be current, with the time of `now`. If it
        raises, nothing is written.
        """
