"""The order of keys in a formatted file: that of the schema. Names that teams choose keep their order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from hookline.schemas import load_schema

_ITEM = "[]"


@cache
def key_order(path: tuple[str, ...]) -> Mapping[str, int]:
    """The position of each known key of the mapping at a path, in which ``[]`` is an item of a list."""
    schema: Any = load_schema("webhook.v1")
    node: Any = schema
    for part in path:
        node = node.get("items", {}) if part == _ITEM else node.get("properties", {}).get(part, {})
        for step in node.get("$ref", "").removeprefix("#/").split("/") if "$ref" in node else ():
            node = schema if node.get("$ref") else node
            node = node[step]
    return {key: position for position, key in enumerate(node.get("properties", {}))}


def below(path: tuple[str, ...], key: str | None) -> tuple[str, ...]:
    return (*path, _ITEM if key is None else key)
