"""The documents as the history records them, without reading the stored documents.

A field of a document is a unit that a person would name, as in a plan: a list is one value (most lists are sets), and
so is a reference to a secret. Its path is a JSON pointer (RFC 6901).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookline.canonical import Document, canonical_document, canonical_json, canonical_text, read_webhook
from hookline.model import Address, Declared, Desired, FileLocation
from hookline.state.store import HistoryRecord

_REFERENCES = ({"env"}, {"file"})
_Known = dict[str, tuple[Any, HistoryRecord]]  # by the path of a field: its value, and the apply that set it


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """A document, and the serial of the apply that wrote it last."""

    document: Document
    serial: int


def replay_history(records: Iterable[HistoryRecord], up_to: int | None = None) -> dict[Address, AppliedChange]:
    """Every document after serial `up_to` (None: the last). Raises ValueError with the serial of an invalid entry."""
    documents: dict[Address, AppliedChange] = {}
    for record in records:
        if up_to is not None and record.serial > up_to:
            break
        for address, after in written_documents(record):
            if after is None:
                documents.pop(address, None)
            else:
                documents[address] = AppliedChange(after, record.serial)
    return dict(sorted(documents.items()))


def desired_at(records: Iterable[HistoryRecord], serial: int) -> Desired:
    """The webhooks after serial `serial`; sources are history entries. Raises ValueError like `replay_history`.

    A webhook that has moved since then has its present address as `moved_from`: the way back is a move as well.
    """
    records = tuple(records)
    found = {address: _declared(address, one) for address, one in replay_history(records, serial).items()}
    now = {address: address for address in found}  # the present address of each webhook, by that of then
    for record in records:
        if record.serial > serial:
            moves = {move.old: move.new for move in record.entry.moves(record.serial)}
            deleted = {address for address, after in written_documents(record) if after is None} - moves.keys()
            if moves or deleted:
                now = {then: moves.get(one, one) for then, one in now.items() if one not in deleted}
    moved = {then: one for then, one in now.items() if then != one and one not in found}
    if moved:
        # If another webhook has the address of then, it is updated, and the moved webhook is deleted.
        held = replay_history(records)
        moved = {then: one for then, one in moved.items() if then not in held}
    return Desired(found, moved_from=moved)


def _declared(address: Address, applied: AppliedChange) -> Declared:
    try:
        webhook, canonical = read_webhook(applied.document), canonical_text(canonical_document(applied.document))
    except (KeyError, TypeError, AttributeError, ValueError) as invalid:
        raise ValueError(
            f"the history entry of serial {applied.serial} has no valid webhook for {address}"
        ) from invalid
    if webhook.address != address:
        raise ValueError(f"the history entry of serial {applied.serial} has {webhook.address} for {address}")
    return Declared(canonical, FileLocation("history", applied.serial))


def written_documents(record: HistoryRecord) -> Iterator[tuple[Address, Document | None]]:
    """The documents that an apply wrote, by address; None is a deletion. Raises ValueError like `replay_history`.

    A move deletes the webhook at its earlier address.
    """
    for move in record.entry.moves(record.serial):
        yield move.old, None
    for change in record.entry.changes:
        try:
            address, after = Address.parse(change["address"]), change["after"]
        except (KeyError, TypeError, AttributeError, ValueError) as invalid:
            raise ValueError(f"the history entry of serial {record.serial} has an invalid change") from invalid
        if after is not None and not isinstance(after, Mapping):
            raise ValueError(f"the history entry of serial {record.serial} has no document for {address}")
        yield address, after


@dataclass(frozen=True, slots=True)
class BlamedField:
    """A field, and the apply that set it. `record` is None if no apply did: somebody changed the state by hand."""

    path: str
    value: Any
    record: HistoryRecord | None


def blame_fields(address: Address, document: Document, records: Iterable[HistoryRecord]) -> tuple[BlamedField, ...]:
    """The fields of the stored `document`, each with the apply that gave it its present value.

    After a deletion, the apply that creates the webhook again sets all fields. After a move, only the fields that it
    changed have another apply. Raises ValueError if the history cannot be replayed.
    """
    known: _Known = {}
    for record, at in _with_addresses(address, records):
        for written, after in written_documents(record):
            if written == at:
                known = {
                    path: known[path] if path in known and equal_as_json(known[path][0], value) else (value, record)
                    for path, value in document_fields(after or {}).items()
                }
    return tuple(_blamed(path, value, known) for path, value in document_fields(document).items())


def _with_addresses(address: Address, records: Iterable[HistoryRecord]) -> list[tuple[HistoryRecord, Address]]:
    """Each record with the address that the webhook, now at `address`, had after it."""
    found = []
    for record in reversed(tuple(records)):
        found.append((record, address))
        address = next((move.old for move in record.entry.moves(record.serial) if move.new == address), address)
    return found[::-1]


def _blamed(path: str, value: Any, known: _Known) -> BlamedField:
    applied = known.get(path)
    return BlamedField(path, value, applied[1] if applied and equal_as_json(applied[0], value) else None)


def document_fields(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Every field of a document with its value, by path below `above`, in the document's order."""
    fields: dict[str, Any] = {}
    for key, value in document.items():
        path = above + "/" + key.replace("~", "~0").replace("/", "~1")
        if isinstance(value, Mapping) and value and set(value) not in _REFERENCES:
            fields |= document_fields(value, path)
        else:
            fields[path] = value
    return fields


def equal_as_json(one: object, other: object) -> bool:
    """Whether two values are equal as JSON: 1, 1.0 and true are three values."""
    return canonical_json(one) == canonical_json(other)
