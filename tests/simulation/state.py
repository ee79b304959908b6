"""The stored state of a simulation, and the applies that change it while a relay runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from hookline.errors import StateUnusable
from hookline.model import Address, Declared, Webhook
from hookline.state.store import (
    NONE_DECLARED,
    Confirm,
    DocumentWrites,
    HistoryEntry,
    HistoryRecord,
    Move,
    Snapshot,
    Stored,
)

Document = Mapping[str, Any]


class SimulatedState:
    """Implements StateStore for reading.

    Attributes:
        unreadable: Every read fails.
        known_webhooks: The latest configuration of every webhook that was ever applied.
        moved_addresses: The first addresses of the webhooks that have moved.
        deleted_addresses: The webhooks that an apply has deleted, even if a later one created them again.
        shortest_max_age_seconds: The shortest maxAge that each webhook ever had.
    """

    def __init__(self, documents: Mapping[Address, Document]) -> None:
        self.unreadable = False
        self.moved_addresses: set[Address] = set()
        self._present: dict[Address, Address] = {}
        self.known_webhooks: dict[Address, Webhook] = {}
        self.deleted_addresses: set[Address] = set()
        self.shortest_max_age_seconds: dict[Address, float] = {}
        self._snapshot = Snapshot("L", 1, {address: Stored.of(one) for address, one in sorted(documents.items())})
        self._changed_at: dict[Address, int] = {}  # the serial of each webhook's latest change
        self._serial_read = 0
        self._remember()

    @property
    def webhooks(self) -> dict[Address, Webhook]:
        """The applied webhooks."""
        return {address: stored.webhook for address, stored in self._snapshot.webhooks.items()}

    def document(self, address: Address) -> Document | None:
        """The applied document of this webhook; None if it has none."""
        stored = self._snapshot.webhooks.get(address)
        return None if stored is None else stored.document

    def apply(self, address: Address, document: Document | None) -> None:
        """Apply a change of one webhook; None deletes it."""
        self._snapshot = self._snapshot.after("L", {address: document})
        self._changed_at[address] = self._snapshot.serial
        if document is None:
            self.deleted_addresses.add(address)
        self._remember()

    def move(self, first: Address, new: Address) -> None:
        """Apply a move of the webhook with this first address."""
        old = self.present(first)
        moved = {**self._snapshot.webhooks[old].document, "sandbox": new.sandbox}
        after = self._snapshot.after("L", {old: None, new: moved})
        self._snapshot = replace(after, moves=(*after.moves, Move(old, new, after.serial)))
        self._present[first] = new
        self.moved_addresses.add(first)
        self._changed_at[old] = self._changed_at[new] = after.serial
        self._remember()

    def present(self, first: Address) -> Address:
        """The address that the webhook with this first address has now."""
        return self._present.get(first, first)

    def is_unread(self, address: Address) -> bool:
        """Whether the relay has not read the latest change of this webhook."""
        return self._changed_at.get(address, 0) > self._serial_read

    def _remember(self) -> None:
        webhooks = self.webhooks
        self.known_webhooks |= webhooks
        for address, webhook in webhooks.items():
            age = webhook.delivery.retry.max_age.total_seconds()
            self.shortest_max_age_seconds[address] = min(age, self.shortest_max_age_seconds.get(address, age))

    # -- StateStore

    def read(self, _declared: Mapping[Address, Declared] = NONE_DECLARED) -> Snapshot:
        self._require_readable()
        self._serial_read = self._snapshot.serial
        return self._snapshot

    def version(self) -> tuple[str | None, int]:
        self._require_readable()
        return self._snapshot.lineage, self._snapshot.serial

    def history(self) -> tuple[HistoryRecord, ...]:
        raise AssertionError("a relay does not read the history")

    def now(self) -> datetime:
        raise AssertionError("a relay does not apply")

    def commit(
        self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry, confirm: Confirm | None = None
    ) -> Snapshot:
        raise AssertionError("a relay does not apply")

    def _require_readable(self) -> None:
        if self.unreadable:
            raise StateUnusable("the state cannot be read: input/output error")
