"""Which apply gave each field of a webhook the value that it has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hookline.canonical import Document
from hookline.model import Address
from hookline.state.history_replay import fields, same, written
from hookline.state.store import Record


@dataclass(frozen=True, slots=True)
class Blamed:
    """`record` is None for a value that no apply has set: the state was changed by hand."""

    path: str
    value: Any
    record: Record | None


def blame(address: Address, document: Document, records: Iterable[Record]) -> tuple[Blamed, ...]:
    """The fields of the stored `document`, each with the apply since which it has its value.

    A deletion forgets: what is created again is set anew. Raises ValueError for a history that cannot be replayed.
    """
    known: dict[str, tuple[Any, Record]] = {}
    for record in records:
        for at, after in written(record):
            if at == address:
                known = _overlaid(known, after or {}, record)
    return tuple(_blamed(path, value, known) for path, value in fields(document).items())


def _overlaid(known: dict[str, tuple[Any, Record]], after: Document, record: Record) -> dict[str, tuple[Any, Record]]:
    return {
        path: known[path] if path in known and same(known[path][0], value) else (value, record)
        for path, value in fields(after).items()
    }


def _blamed(path: str, value: Any, known: dict[str, tuple[Any, Record]]) -> Blamed:
    applied = known.get(path)
    return Blamed(path, value, applied[1] if applied and same(applied[0], value) else None)
