"""A canonical document as text: YAML that a webhook file may hold, and that a person reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hookline.escaping import printable

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
# Several lines that need no escape, the first of them not indented and none with a space at its end.
_BLOCK = re.compile(r"\S(?:[^\n]*\S)?(?:\n(?:[^\n]*\S)?)*\n[^\n]*\S\n?")
# A key may have 1024 characters before its colon, unless a question mark announces it (YAML 1.2 §7.4.2).
_LONGEST_KEY = 1000
_BREAK = "\n"
_NOT_TEXT = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def as_yaml(document: Mapping[str, Any]) -> str:
    """Read back as YAML it is the same document."""
    ordered = sorted(document, key=lambda key: (_ORDER.index(key) if key in _ORDER else len(_ORDER), key))
    return "\n".join(_mapping({key: document[key] for key in ordered}, ""))


def as_yaml_list(documents: Iterable[Mapping[str, Any]]) -> str:
    """Documents as the entries of one list, each on a line of its own; fields in their order."""
    return "\n".join(f"- {_flow(document)}" for document in documents) or "[]"


def _mapping(mapping: Mapping[str, Any], margin: str) -> Iterator[str]:
    for key, value in mapping.items():
        if len(_scalar(key)) > _LONGEST_KEY:
            yield from (f"{margin}? {_scalar(key)}", f"{margin}: {_flow(value)}")
        elif isinstance(value, Mapping) and value and not _is_short(value):
            yield f"{margin}{_scalar(key)}:"
            yield from _mapping(value, margin + "  ")
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield f"{margin}{_scalar(key)}:"
            yield from (f"{margin}  - {_flow(item)}" for item in value)
        elif isinstance(value, str) and _BLOCK.fullmatch(value) and value.replace(_BREAK, "").isprintable():
            yield f"{margin}{_scalar(key)}: {'|' if value.endswith(_BREAK) else '|-'}"
            yield from (f"{margin}  {line}".rstrip() for line in value.removesuffix(_BREAK).split(_BREAK))
        else:
            yield f"{margin}{_scalar(key)}: {_flow(value)}"


def _is_short(mapping: Mapping[str, Any]) -> bool:
    """References to secrets and sandboxes with their id read best on one line."""
    return set(mapping) in ({"env"}, {"file"}, {"name", "id"})


def _flow(value: Any) -> str:
    match value:
        case Mapping():
            return "{" + _joined(f"{_flow_key(key)}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + _joined(_flow(item) for item in value) + "]"
        case str():
            return _scalar(value)
        case float():
            return _float(value)
        case _:
            return json.dumps(value)


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return printable(json.dumps(text, ensure_ascii=False))


def _flow_key(key: str) -> str:
    text = _scalar(key)
    return text if len(text) <= _LONGEST_KEY else f"? {text} "


def _float(number: float) -> str:
    """With a point: without one, 1e+22 is a number to YAML 1.2 and text to YAML 1.1."""
    mantissa, exponent, power = json.dumps(number).partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + exponent + power


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
