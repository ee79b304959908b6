"""Merges a webhook with the defaults above it, key by key; `headers`, `query` and `delivery` one level deeper.

The nearest value wins. A null removes the value of the files above. If they have none, it remains, and is an error.
A *unit* is a part that is merged as one: a key, or a key of one of the three sections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

from hookline.config.document_access import DocumentPath
from hookline.config.schema.webhook_schemas import MERGED_SECTIONS

Values = Mapping[str, Any]


def merge(above: Values, own: Values) -> dict[str, Any]:
    """The values of `own`, and those of `above` that it neither replaces nor removes."""
    merged = {**above, **own}
    for key, value in own.items():
        if key not in above:
            continue
        if value is None:
            del merged[key]
        elif key in MERGED_SECTIONS and type(value) is dict and type(above[key]) is dict:
            merged[key] = _merge_section(above[key], value, key)
    return merged


def _merge_section(above: Values, own: Values, section: str) -> dict[str, Any]:
    decided = {same_name(section, name) for name in own}
    known = {same_name(section, name) for name in above}
    merged = {name: value for name, value in above.items() if same_name(section, name) not in decided}
    for name, value in own.items():
        if value is not None or same_name(section, name) not in known:
            merged[name] = value
    return merged


def same_name(section: str, name: str) -> str:
    """Equal for names that mean the same key: header names ignore case."""
    return name.lower() if section == "headers" else name


def unit_of(document: Values, path: DocumentPath) -> DocumentPath:
    """The unit that a path leads into, with the name by which units are compared. The path is not empty."""
    key = str(path[0])
    if len(path) > 1 and key in MERGED_SECTIONS and type(document.get(key)) is dict:
        return (key, same_name(key, str(path[1])))
    return (key,)


def units(document: Values) -> Iterator[tuple[DocumentPath, DocumentPath, Any]]:
    """The units of a document: name, path and value of each."""
    for key, value in document.items():
        if key in MERGED_SECTIONS and type(value) is dict:
            for name, inner in value.items():
                yield (key, same_name(key, name)), (key, name), inner
        else:
            yield (key,), (key,), value


def without_units(document: Values, removed: Set[DocumentPath]) -> dict[str, Any]:
    """The document without some of its units."""
    kept: dict[str, Any] = {}
    for key, value in document.items():
        if key in MERGED_SECTIONS and type(value) is dict:
            if (key,) not in removed:
                kept[key] = {
                    name: inner for name, inner in value.items() if (key, same_name(key, name)) not in removed
                }
        elif (key,) not in removed:
            kept[key] = value
    return kept


def is_mentioned(document: Values, path: DocumentPath) -> bool:
    """Whether a document decides on the value at a path: gives it, replaces it or removes it."""
    section = str(path[0]) if path else ""
    if section not in document:
        return not path
    names = document[section]
    if len(path) == 1 or section not in MERGED_SECTIONS or type(names) is not dict:
        return True
    wanted = same_name(section, str(path[1]))
    return any(same_name(section, name) == wanted for name in names)
