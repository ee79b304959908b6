"""A canonical document as fields, by JSON pointer (RFC 6901).

A field is what a person would call one, as in a plan: a list is one value (most are sets), and so is a reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hookline.canonical import canonical_json

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
