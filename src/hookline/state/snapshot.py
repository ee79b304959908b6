"""What was applied last, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hookline.canonical import digest, read_webhook
from hookline.model import Address, Webhook


@dataclass(frozen=True)
class Stored:
    """One applied webhook: its canonical document, and what is read from that."""

    document: Mapping[str, Any]

    @cached_property
    def webhook(self) -> Webhook:
        return read_webhook(self.document)

    @cached_property
    def hash(self) -> str:
        """``sha256:…`` of the canonical document: equal hashes are equal webhooks."""
        return digest(self.document)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`lineage` is the identity of a state, None before the first apply; `serial` counts its applies from 1."""

    lineage: str | None
    serial: int
    webhooks: Mapping[Address, Stored]

    def after(self, lineage: str, written: Mapping[Address, Mapping[str, Any] | None]) -> Snapshot:
        """The next serial's snapshot: documents written over this one, None deletes."""
        webhooks = {address: stored for address, stored in self.webhooks.items() if address not in written}
        webhooks.update({address: Stored(document) for address, document in written.items() if document is not None})
        return Snapshot(lineage=lineage, serial=self.serial + 1, webhooks=dict(sorted(webhooks.items())))


EMPTY = Snapshot(lineage=None, serial=0, webhooks={})
