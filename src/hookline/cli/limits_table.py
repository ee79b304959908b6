"""Every limit of size, count and time, with its value from the module that applies it.

A limit is a constant of one module. The table in limits_table.txt gives its meaning, and
tests/unit/cli/test_limits_table.py refuses a number in the code that the table does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, NamedTuple

import click

from hookline.cli.options import DURATION
from hookline.schemas import load_schema

OPTIONS_GROUP = "Options of relay"
FIELDS_GROUP = "Fields of a webhook file"


class Limit(NamedTuple):
    """`place` is where the limit is defined: a module and its constant, or the field of a webhook file."""

    group: str
    place: str
    value: str
    meaning: str


@cache
def limits() -> tuple[Limit, ...]:
    """Returns all limits in the order of the table, then those of options and of the fields of a webhook file."""
    return (*_constants(), *_options(), *_fields())


def places() -> Iterator[tuple[str, str, str, str]]:
    """Yields the group, module, constant and meaning of each row of the table."""
    group = ""
    for line in (files("hookline.cli") / "limits_table.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            group = line[2:]
        elif line:
            place, _, meaning = line.partition(" | ")
            module, _, name = place.partition(" ")
            yield group, module, name, meaning


def _constants() -> Iterator[Limit]:
    for group, module, name, meaning in places():
        try:
            value = value_text(name, getattr(import_module(f"hookline.{module}"), name))
        except ModuleNotFoundError:  # of an extra, such as the state in PostgreSQL
            value = "not installed"
        yield Limit(group, f"{module}.{name}", value, meaning)


def _options() -> Iterator[Limit]:
    from hookline.cli.commands.relay import relay_command  # noqa: PLC0415 - only the table needs it

    for option in relay_command.params:
        bounded = option.type is DURATION or isinstance(option.type, click.IntRange)
        if isinstance(option, click.Option) and bounded and isinstance(option.default, str | int):
            value = f"{option.default:,}" if isinstance(option.default, int) else option.default
            yield Limit(OPTIONS_GROUP, option.opts[-1], value, (option.help or "").removesuffix("."))


def value_text(name: str, value: float | timedelta) -> str:
    """Returns a value with the unit that the last word of its constant names: ``64 KiB``, ``0.25 s``, ``30 %``."""
    if isinstance(value, timedelta):
        return _duration(value.total_seconds())
    match name.rpartition("_")[2]:
        case "SECONDS":
            return _duration(value)
        case "BYTES" | "CHUNK" if isinstance(value, int) and not name.endswith(("_PER_CHUNK", "DEAD_LETTER_CHUNK")):
            return _size(value)
        case "KIB":
            return _size(int(value) * 1024)
        case "SHARE" if isinstance(value, float):
            return f"{value:.0%}".replace("%", " %")
        case "CHARACTERS" | "CHARS" | "WIDTH":
            return f"{value:,} characters"
        case "BITS" | "DAYS" | "MS" as unit:
            return f"{value:,} {unit.lower()}"
        case _:
            return f"{value:,}"


def _duration(seconds: float) -> str:
    if 0 < seconds < 1:
        return f"{seconds * 1000:g} ms"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:,g} s" if seconds < 1e6 else f"{seconds:,.0f} s"


def _size(number: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= size and number % size == 0:
            return f"{number // size:,} {unit}"
    return f"{number:,} bytes"


_SCHEMA_LIMITS = {
    "maxLength": "characters, at most",
    "maxItems": "items, at most",
    "maxProperties": "keys, at most",
    "minimum": "at least",
    "maximum": "at most",
}


def _fields() -> Iterator[Limit]:
    from hookline.config.rules.delivery_rules import DURATION_RANGES  # noqa: PLC0415 - the table shows it

    schema = load_schema("webhook.v1")
    for path, keyword, value in _schema_limits(schema, schema, ""):
        yield Limit(FIELDS_GROUP, path, f"{value:,}", _SCHEMA_LIMITS[keyword])
    for parts, (shortest, longest) in DURATION_RANGES.items():
        for meaning, duration in (("at least", shortest), ("at most", longest)):
            yield Limit(FIELDS_GROUP, ".".join(map(str, parts)), _duration(duration.total_seconds()), meaning)


def _schema_limits(schema: dict[str, Any], node: dict[str, Any], path: str) -> Iterator[tuple[str, str, int]]:
    if reference := re.fullmatch(r"#/(.*)", node.get("$ref", "")):
        target: Any = schema
        for part in reference[1].split("/"):
            target = target[part]
        node = {**target, **node}
    yield from ((path, keyword, node[keyword]) for keyword in _SCHEMA_LIMITS if keyword in node)
    for name, inner in node.get("properties", {}).items():
        yield from _schema_limits(schema, inner, f"{path}.{name}".lstrip("."))
    for keyword, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(node.get(keyword), dict):
            yield from _schema_limits(schema, node[keyword], path + mark)
