"""A store that writes a note into the history entry of what is committed through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hookline.model import Address
from hookline.state.store import Entry, Record, Snapshot, StateStore


class NotedStore:
    """A StateStore around another one."""

    def __init__(self, store: StateStore, note: str) -> None:
        self._store = store
        self._note = note

    def read(self) -> Snapshot:
        return self._store.read()

    def version(self) -> tuple[str | None, int]:
        return self._store.version()

    def history(self) -> tuple[Record, ...]:
        return self._store.history()

    def commit(self, base: Snapshot, written: Mapping[Address, Mapping[str, Any] | None], entry: Entry) -> Snapshot:
        return self._store.commit(base, written, replace(entry, note=self._note))
