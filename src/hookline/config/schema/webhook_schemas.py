"""The JSON Schemas that hookline checks documents with: a webhook with its defaults, and a defaults file.

The published schemas are for editors, which see one file. They allow null, which removes a default, and require only
keys that cannot have a default. Here, nothing is left to remove, and the other required keys must exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from hookline.schemas import load_schema

# The keys that can have a default, in the order of the schema.
DEFAULTABLE_KEYS = (
    *("owner", "channels", "authentication", "signature", "headers", "query", "campaigns", "messageTypes"),
    *("events", "payload", "delivery"),
)
# Of these, the keys that every webhook needs, with a valid value for a webhook whose default is unknown.
REQUIRED_WITH_DEFAULT: dict[str, Any] = {"channels": ["email"], "campaigns": "all"}
# Mappings that are merged key by key.
MERGED_SECTIONS = ("headers", "query", "delivery")


@cache
def webhook_schema() -> dict[str, Any]:
    """The schema of a webhook whose defaults are filled in."""
    schema = _strict(load_schema("webhook.v1"))
    required = {*schema["required"], *REQUIRED_WITH_DEFAULT}
    return {**schema, "required": [key for key in schema["properties"] if key in required]}


@cache
def defaults_schema() -> dict[str, Any]:
    """The schema of a defaults file, without the nulls that remove the defaults of files above it."""
    return _strict(load_schema("defaults.v1"))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    for node in _nullable(schema["properties"]):
        if "type" in node:
            kinds = [kind for kind in node["type"] if kind != "null"]
            node["type"] = kinds[0] if len(kinds) == 1 else kinds
        if "enum" in node:
            node["enum"] = [value for value in node["enum"] if value is not None]
    return schema


def _nullable(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in DEFAULTABLE_KEYS:
        yield properties[key]
    for key in MERGED_SECTIONS:
        others = properties[key].get("additionalProperties")
        yield from [others] if others else properties[key]["properties"].values()
