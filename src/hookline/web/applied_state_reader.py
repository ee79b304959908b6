"""Reads the applied webhooks and their history for the pages, and keeps them until the next apply."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hookline.errors import Stale, StateUnusable
from hookline.model import Address, Declared, FileLocation
from hookline.state.store import EMPTY, HistoryRecord, Snapshot, StateStore

_NOWHERE: Final = FileLocation("", 0)
# A read is repeated when an apply has committed in between.
_MAX_READS: Final = 5


@dataclass(frozen=True, slots=True)
class AddressChange:
    """One change of one webhook: the JSON form of the plan's change, and the apply that made it."""

    record: HistoryRecord
    change: Mapping[str, Any]

    def moved_to(self, address: str) -> bool:
        """Whether the webhook got this address by the change."""
        return self.change.get("movedFrom") is not None and self.change["address"] == address

    @property
    def alone(self) -> HistoryRecord:
        """The record as if the apply had changed this webhook alone."""
        return replace(self.record, entry=replace(self.record.entry, changes=(self.change,)))


@dataclass(frozen=True, slots=True)
class AppliedWebhooks:
    """The state at one moment. `changes` are those of each address as text, the oldest first."""

    snapshot: Snapshot
    changes: Mapping[str, Sequence[AddressChange]]

    def changes_of(self, address: Address) -> Sequence[AddressChange]:
        """The changes of the webhook that is now at `address`, the oldest first. It may have had other addresses."""
        found: list[AddressChange] = []
        at: str | None = str(address)
        while at is not None:
            earlier = [
                one for one in self.changes.get(at, ()) if not found or one.record.serial < found[0].record.serial
            ]
            arrival = next((n for n in reversed(range(len(earlier))) if earlier[n].moved_to(at)), None)
            found[:0] = earlier[arrival or 0 :]
            at = None if arrival is None else str(earlier[arrival].change["movedFrom"])
        return found


class AppliedStateReader:
    """Any thread may call it. `place` is the state in messages, without a password."""

    def __init__(self, store: StateStore, place: str) -> None:
        self._store = store
        self._place = place
        self._lock = threading.Lock()
        self._known = AppliedWebhooks(EMPTY, {})

    def read(self) -> AppliedWebhooks:
        """The present state. It reads the whole state only after an apply. Raises StateUnusable, and Stale if applies
        keep committing."""
        with self._lock:
            version = self._store.version()
            if version[0] is None:
                raise StateUnusable(
                    f"no state exists at {self._place}",
                    hint="create it with `hookline apply`, or name another one with --state",
                )
            if version != (self._known.snapshot.lineage, self._known.snapshot.serial):
                self._known = self._read()
            return self._known

    def _read(self) -> AppliedWebhooks:
        known = {
            address: Declared(stored.canonical, _NOWHERE) for address, stored in self._known.snapshot.webhooks.items()
        }
        for _ in range(_MAX_READS):
            snapshot, records = self._store.read(known), self._store.history()
            if self._store.version() == (snapshot.lineage, snapshot.serial):
                return AppliedWebhooks(snapshot, changes_by_address(records))
        raise Stale(f"the state {self._place} changed during every read: other applies are running")


def changes_by_address(records: Iterable[HistoryRecord]) -> dict[str, list[AddressChange]]:
    """The changes of each address. A move counts for the old and the new one."""
    found: dict[str, list[AddressChange]] = {}
    for record in records:
        for change in record.entry.changes:
            one = AddressChange(record, change)
            for address in {change["address"], change.get("movedFrom") or change["address"]}:
                found.setdefault(address, []).append(one)
    return found
