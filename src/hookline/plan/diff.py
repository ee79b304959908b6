"""Which fields differ between two canonical documents.

A field is what a person would call one: a list is shown whole (most of them are sets, and a rotated key moves all
that follow it), and so is a reference to a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepdiff import DeepDiff

from hookline.canonical import Document
from hookline.plan.plan import FieldChange

# Sections that are left out when all of them is default: without them, a first header would show as a new section.
_SECTIONS: Document = {"headers": {}, "delivery": {}}
_DELIVERY_SECTIONS: Document = {"retry": {}, "tls": {}}
_REFERENCES = ({"env"}, {"file"})


def differences(before: Document, after: Document) -> tuple[FieldChange, ...]:
    """The fields that differ, by path. Never empty for documents whose hashes differ."""
    old, new = _with_sections(before), _with_sections(after)
    found = DeepDiff(
        old,
        new,
        view="tree",
        ignore_private_variables=False,  # else a claim that begins with two underscores is passed over
        threshold_to_diff_deeper=0,  # else documents with little in common are reported as one change
    )
    paths = {_field(old, new, level.path(output_format="list")) for levels in found.values() for level in levels}
    # 0.0 and -0.0 are equal to Python and two different documents: then the document itself is the field.
    fields = (FieldChange(_pointer(path), _value(old, path), _value(new, path)) for path in paths or {()})
    return tuple(sorted(fields, key=lambda field: field.path))


def _with_sections(document: Document) -> dict[str, Any]:
    full = {**_SECTIONS, **document}
    delivery = full["delivery"]
    # A saved plan's documents are shown before anybody knows whether they are webhooks.
    return {**full, "delivery": {**_DELIVERY_SECTIONS, **delivery}} if isinstance(delivery, Mapping) else full


def _field(old: Document, new: Document, path: Sequence[Any]) -> tuple[str, ...]:
    """The path up to the first value that is shown whole."""
    for length in range(1, len(path)):
        if _is_whole(_value(old, path[:length])) or _is_whole(_value(new, path[:length])):
            return tuple(path[:length])
    # A claim that is null and one that is not there would look the same: then what holds them is shown.
    told_apart = _value(old, path) is not None or _value(new, path) is not None
    return tuple(path) if told_apart else tuple(path[:-1])


def _is_whole(value: object) -> bool:
    return not isinstance(value, Mapping) or set(value) in _REFERENCES


def _value(document: Document, path: Sequence[Any]) -> Any:
    value: Any = document
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _pointer(path: Sequence[str]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
