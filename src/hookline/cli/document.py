"""A canonical document as text: YAML that a webhook file may hold, and that a person reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hookline.plan.printable import printable

# The order of a webhook file as the reference writes it; other fields follow by name.
_ORDER = (
    "version",
    "organization",
    "sandbox",
    "name",
    "description",
    "owner",
    "channels",
    "url",
    "authentication",
    "headers",
    "campaigns",
    "messageTypes",
    "events",
    "payload",
    "delivery",
    "enabled",
    "protected",
)
# Read as text by YAML 1.1 and 1.2 alike. Everything else is quoted, as JSON, which is YAML too.
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9_./@-]|:(?=[A-Za-z0-9_./@-])|[ ](?=[A-Za-z0-9]))*", re.ASCII)
_NOT_TEXT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def as_yaml(document: Mapping[str, Any]) -> str:
    """Read back as YAML it is the same document."""
    ordered = sorted(document, key=lambda key: (_ORDER.index(key) if key in _ORDER else len(_ORDER), key))
    return "\n".join(_mapping({key: document[key] for key in ordered}, ""))


def _mapping(mapping: Mapping[str, Any], margin: str) -> Iterator[str]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value and not _is_short(value):
            yield f"{margin}{_scalar(key)}:"
            yield from _mapping(value, margin + "  ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield f"{margin}{_scalar(key)}:"
            yield from (f"{margin}  - {_flow(item)}" for item in value)
        else:
            yield f"{margin}{_scalar(key)}: {_flow(value)}"


def _is_short(mapping: Mapping[str, Any]) -> bool:
    """References to secrets and sandboxes with their id read best on one line."""
    return set(mapping) in ({"env"}, {"file"}, {"name", "id"})


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + _joined(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + _joined(_flow(item) for item in value) + "]"
        case str():
            return _scalar(value)
        case _:
            return json.dumps(value)


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return printable(json.dumps(text, ensure_ascii=False))


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
