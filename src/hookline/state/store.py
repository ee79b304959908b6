"""What the commands ask of a state store. Every store passes the suite in tests/contract/test_state_store.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from hookline.canonical import digest, read_webhook
from hookline.model import Address, Webhook


# What was applied last, as a value.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One apply, as history keeps it. `changes` is the plan's list of changes, in its JSON form.

    `at` knows its time zone. `lifted` names the brakes that were lifted for this apply, a sentence each. `note` says
    what an apply was that did not come from webhook files (``rollback to 3``).
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
            raise ValueError("the time of an apply needs its time zone")


@dataclass(frozen=True, slots=True)
class Record:
    """An entry in its place in history. `hash` seals it and all before it (state.chain)."""

    serial: int
    entry: Entry
    hash: str


class StateStore(Protocol):
    def read(self) -> Snapshot:
        """The state as it is now, EMPTY when there is none yet. Opens read-only and leaves no file behind.

        Called once a command, and by the relay whenever `version` has moved. Raises StateUnusable when there is
        something that cannot be read: damaged, an empty file, or written by a newer hookline.
        """
        ...

    def version(self) -> tuple[str | None, int]:
        """Lineage and serial alone; the relay asks every second. Raises StateUnusable like `read`."""
        ...

    def history(self) -> tuple[Record, ...]:
        """Every apply, the oldest first; empty when there is no state. Raises StateUnusable like `read`."""
        ...

    def commit(self, base: Snapshot, written: Mapping[Address, Mapping[str, Any] | None], entry: Entry) -> Snapshot:
        """Write canonical documents (None deletes) and the history entry in one transaction, or nothing at all.

        `base` is the state that the change was decided on. Raises Stale when the stored lineage or serial is
        another one by now, Unusable when the database is locked. Returns the state after the write.
        """
        ...
