"""The fields that differ between two canonical documents.

A field is a unit that a person would name. A list is one field, because most lists are sets, and a rotated key moves
all keys after it. A reference to a secret is one field, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hookline.canonical import Document
from hookline.plan.plan import FieldChange

# A document omits a section that is all default. Without these, a first header would show as a new section.
_SECTIONS: Document = {"headers": {}, "query": {}, "delivery": {}}
_DELIVERY_SECTIONS: Document = {"retry": {}, "tls": {}}
_REFERENCES = ({"env"}, {"file"})


def differences(before: Document, after: Document) -> tuple[FieldChange, ...]:
    """The fields that differ, by path. The result is not empty if the hashes of the documents differ."""
    from deepdiff import DeepDiff  # noqa: PLC0415 - the import takes as long as the rest of a plan without changes

    old, new = _with_sections(before), _with_sections(after)
    found = DeepDiff(
        old,
        new,
        view="tree",
        ignore_private_variables=False,  # otherwise it skips claims that begin with two underscores
        threshold_to_diff_deeper=0,  # otherwise documents with little in common are one change
    )
    paths = {_field(old, new, level.path(output_format="list")) for levels in found.values() for level in levels}
    # 0.0 and -0.0 are equal in Python, but their documents differ: then the whole document is the field.
    fields = (FieldChange(_pointer(path), _value(old, path), _value(new, path)) for path in paths or {()})
    return tuple(sorted(fields, key=lambda field: field.path))


def _with_sections(document: Document) -> dict[str, Any]:
    full = {**_SECTIONS, **document}
    delivery = full["delivery"]
    # The documents of a saved plan are compared before they are validated.
    return {**full, "delivery": {**_DELIVERY_SECTIONS, **delivery}} if isinstance(delivery, Mapping) else full


def _field(old: Document, new: Document, path: Sequence[Any]) -> tuple[str, ...]:
    """The path, cut at the first value that is one field."""
    for length in range(1, len(path)):
        if _is_field_value(_value(old, path[:length])) or _is_field_value(_value(new, path[:length])):
            return tuple(path[:length])
    # A null claim and a missing claim would look the same: then the field is their parent.
    distinct = _value(old, path) is not None or _value(new, path) is not None
    return tuple(path) if distinct else tuple(path[:-1])


def _is_field_value(value: object) -> bool:
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
