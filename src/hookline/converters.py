"""Converts documents to values of the model, and to the documents' canonical form.

A converter has three directions: `read` gives the value, `canonical` a document without defaults, `complete` one with
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class ValueConverter:
    """Converts a value of a document to a value of the model, and back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]

    def canonical(self, value: Any, default: Any) -> Any:
        """The canonical form of a value of a document; None if the model has it as the default."""
        found = self.read(value)
        return None if found == default else self.write(found)

    def complete(self, value: Any, default: Any) -> Any:
        """The canonical spelling of a value of a document, or of the default if it is None."""
        return self.write(default if value is None else self.read(value))


class RecordConverter:
    """Converts a mapping to a dataclass of the model, and to a canonical mapping.

    Each field has the key of its name in camel case. A field that is not written has its default in the model, which
    is the only table of the defaults. A null counts as not written. Keys are written in the order of the arguments.
    """

    def __init__(
        self,
        kind: type[Any],
        besides: frozenset[str] = frozenset(),
        /,
        **converters: ValueConverter | RecordConverter | ListConverter | TypedConverter,
    ) -> None:
        """Refuses a field without a converter. The caller converts the fields that `besides` names."""
        self._kind = kind
        defaults = {
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields(kind)
        }
        assert converters.keys() == defaults.keys() - besides, kind
        self._rows = [
            (_camel_case(name), name, converter.read, converter.canonical, defaults[name])
            for name, converter in converters.items()
        ]
        self._complete = [(_camel_case(name), one.complete, defaults[name]) for name, one in converters.items()]
        self.keys_with_default = {key for key, *_, default in self._rows if default not in (MISSING, None)}

    def read(self, document: Mapping[str, Any], **others: Any) -> Any:
        """`others` are the fields that the caller converts. Raises KeyError if a required key is missing."""
        found = {
            name: read(document[key])
            for key, name, read, _, default in self._rows
            if default is MISSING or document.get(key) is not None
        }
        return self._kind(**found, **others)

    def canonical(self, document: Mapping[str, Any], _default: Any = None) -> dict[str, Any] | None:
        """The canonical mapping; None if each field has its default. No object of the model is built for it."""
        found = {
            key: written
            for key, _, _, canonical, default in self._rows
            if (value := document.get(key)) is not None and (written := canonical(value, default)) is not None
        }
        return found or None

    def complete(self, document: Mapping[str, Any] | None, _default: Any = None) -> dict[str, Any]:
        """The canonical mapping with every default. A key whose default is None is left out if it is not written."""
        written = document or {}
        return {
            key: complete(written.get(key), default)
            for key, complete, default in self._complete
            if written.get(key) is not None or default not in (MISSING, None)
        }


@dataclass(frozen=True, slots=True)
class ListConverter:
    """Converts a list of mappings."""

    item: RecordConverter

    def read(self, items: list[Mapping[str, Any]]) -> tuple[Any, ...]:
        return tuple(map(self.item.read, items))

    def canonical(self, items: list[Mapping[str, Any]], _default: Any) -> list[Any]:
        return list(map(self.item.canonical, items))

    def complete(self, items: list[Mapping[str, Any]] | None, _default: Any) -> list[Any]:
        return list(map(self.item.complete, items or ()))


class TypedConverter:
    """Converts a mapping whose key `type` chooses the record."""

    def __init__(self, **records: RecordConverter) -> None:
        self._records = {name.replace("_", "-"): record for name, record in records.items()}

    def read(self, document: Mapping[str, Any]) -> Any:
        return self._record(document).read(document)

    def canonical(self, document: Mapping[str, Any], _default: Any) -> dict[str, Any] | None:
        found = self._record(document).canonical(document)
        return None if found is None else {"type": document["type"], **found}

    def complete(self, document: Mapping[str, Any] | None, _default: Any) -> dict[str, Any]:
        written = document or {"type": "none"}
        return {"type": written["type"], **self._record(written).complete(written)}

    def _record(self, document: Mapping[str, Any]) -> RecordConverter:
        if document["type"] not in self._records:
            raise ValueError(f"unknown type: {document['type']!r}")
        return self._records[document["type"]]


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
