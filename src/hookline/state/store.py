"""The port of a state store. Every store passes the suite in tests/contract/test_state_store.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from hookline.canonical import Document, canonical_text, digest, read_webhook
from hookline.model import Address, Declared, Webhook

DocumentWrites: TypeAlias = Mapping[Address, Document | None]
"""The canonical documents that a commit writes, by address; None deletes the webhook."""


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
class Snapshot:
    """The configuration that was applied last.

    `lineage` is the identity of the state, None before the first apply. `serial` counts its applies from 1.
    """

    lineage: str | None
    serial: int
    webhooks: Mapping[Address, Stored]

    def after(self, lineage: str, written: DocumentWrites) -> Snapshot:
        """The snapshot of the next serial: this one with `written` applied."""
        webhooks = {address: stored for address, stored in self.webhooks.items() if address not in written}
        webhooks.update(
            {address: Stored.of(document) for address, document in written.items() if document is not None}
        )
        return Snapshot(lineage=lineage, serial=self.serial + 1, webhooks=dict(sorted(webhooks.items())))


EMPTY = Snapshot(lineage=None, serial=0, webhooks={})


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One apply.

    `at` has a time zone. `changes` are the plan's changes in their JSON form. `lifted` has one sentence for each
    limit that was lifted for this apply. `note` explains an apply that does not come from webhook files
    (``rollback to 3``).
    """

    at: datetime
    who: str
    commit: str | None
    branch: str | None
    fingerprint: str
    changes: tuple[Mapping[str, Any], ...]
    lifted: tuple[str, ...] = ()
    note: str | None = None

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("the time of an apply needs a time zone")


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

    def commit(self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry) -> Snapshot:
        """Write the documents and the history entry in one transaction, or write nothing.

        `base` is the state that the change was decided on. Returns the state after the write. Raises Stale if the
        stored lineage or serial differs from that of `base`, StateUnusable if the state is locked.
        """
