"""Documents as history made them: the state without looking at the state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookline.canonical import Document, canonical_json, read_webhook
from hookline.model import Address, Declared, Desired, FileLocation
from hookline.state.store import Record


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """A document, and the serial of the apply that wrote it last."""

    document: Document
    serial: int


def replay_history(records: Iterable[Record], up_to: int | None = None) -> dict[Address, AppliedChange]:
    """Every document as it was after serial `up_to` (None: after the last), by address.

    Raises ValueError naming the entry whose changes are not in the form of a plan's.
    """
    documents: dict[Address, AppliedChange] = {}
    for record in records:
        if up_to is not None and record.serial > up_to:
            break
        for address, after in written(record):
            if after is None:
                documents.pop(address, None)
            else:
                documents[address] = AppliedChange(after, record.serial)
    return dict(sorted(documents.items()))


def desired_at(records: Iterable[Record], serial: int) -> Desired:
    """The webhooks as serial `serial` left them; each is "written" in the entry of history that applied it.

    Raises ValueError for a history that cannot be replayed.
    """
    return Desired({address: _declared(address, found) for address, found in replay_history(records, serial).items()})


def _declared(address: Address, applied: AppliedChange) -> Declared:
    try:
        webhook = read_webhook(applied.document)
    except (KeyError, TypeError, AttributeError, ValueError) as broken:
        raise ValueError(f"the history entry of serial {applied.serial} holds no webhook for {address}") from broken
    if webhook.address != address:
        raise ValueError(f"the history entry of serial {applied.serial} has {webhook.address} for {address}")
    return Declared(webhook, FileLocation("history", applied.serial))


def written(record: Record) -> Iterator[tuple[Address, Document | None]]:
    """What an apply wrote: documents by address, None for a deletion. Raises ValueError like `replay`."""
    for change in record.entry.changes:
        try:
            address, after = Address.parse(change["address"]), change["after"]
        except (KeyError, TypeError, AttributeError, ValueError) as broken:
            raise ValueError(f"the history entry of serial {record.serial} holds what is no change") from broken
        if after is not None and not isinstance(after, Mapping):
            raise ValueError(f"the history entry of serial {record.serial} holds no document for {address}")
        yield address, after


# A canonical document as fields, by JSON pointer (RFC 6901).
#
# A field is what a person would call one, as in a plan: a list is one value (most are sets), and so is a reference.
_REFERENCES = ({"env"}, {"file"})


def fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of a document with its value, in the document's order."""
    return dict(_fields(document, ""))


def _fields(mapping: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        path = above + "/" + key.replace("~", "~0").replace("/", "~1")
        if isinstance(value, Mapping) and value and set(value) not in _REFERENCES:
            yield from _fields(value, path)
        else:
            yield path, value


def same(one: object, other: object) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values."""
    return canonical_json(one) == canonical_json(other)
