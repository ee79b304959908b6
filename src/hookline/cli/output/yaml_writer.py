"""A canonical document as YAML, written with PyYAML so that the strict parser accepts it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import yaml

from hookline.config.yaml_scalars import resolve
from hookline.escaping import ci_log_text, printable_lines
from hookline.schemas import load_schema

# Only these forms may stay plain, and only if the parser reads them as text. All other text is quoted.
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9_./@-]|:(?=[A-Za-z0-9_./@-])|[ ](?=[A-Za-z0-9]))*", re.ASCII)
# Several lines that need no escapes: the first is not indented, and none ends with a space.
_BLOCK = re.compile(r"\S(?:[^\n]*\S)?(?:\n(?:[^\n]*\S)?)*\n[^\n]*\S\n?")
# References to secrets, and sandboxes with their id, are written on one line.
_ONE_LINE = ({"env"}, {"file"}, {"name", "id"})


def as_yaml(document: Mapping[str, Any]) -> str:
    """A webhook file with its keys in the schema's order and a final line end. The parser reads the same document."""
    return _ordered(document, "webhook.v1")


def policy_as_yaml(document: Mapping[str, Any]) -> str:
    """A policy file with its keys in the schema's order and a final line end. The parser reads the same document.

    Every key of a rule is on its own line, so that two policies can be compared line by line.
    """
    return _ordered(document, "policy.v1", _BlockDumper)


def _ordered(document: Mapping[str, Any], schema: str, dumper: type[_Dumper] | None = None) -> str:
    order = _order(schema)
    fields = sorted(document, key=lambda key: (order.get(key, len(order)), key))
    return _dump({key: document[key] for key in fields}, dumper)


def as_yaml_list(documents: Iterable[Mapping[str, Any]]) -> str:
    """A list with each document on its own line and a final line end. The keys keep their order."""
    return _dump(list(documents))


@cache
def _order(schema: str) -> Mapping[str, int]:
    return {key: index for index, key in enumerate(load_schema(schema)["properties"])}


def _dump(value: object, dumper: type[_Dumper] | None = None) -> str:
    text: str = yaml.dump(value, Dumper=dumper or _Dumper, allow_unicode=True, width=sys.maxsize)
    # Only quoted text contains characters that a terminal does not show. There, an escape has the same meaning.
    return printable_lines(text)


class _Dumper(yaml.SafeDumper):
    """Writes no anchors, folds no text, and indents lists below their key."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def choose_scalar_style(self) -> str:
        """Keep the representer's choice, plain or double quotes. Inside brackets, PyYAML would quote every URL."""
        if isinstance(self.event, yaml.ScalarEvent) and self.event.style is None:
            return ""
        return super().choose_scalar_style().replace("'", '"')


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    style: str | None = '"'
    if _PLAIN.fullmatch(text) and resolve(text) == text:
        style = None
    elif _BLOCK.fullmatch(text) and text == printable_lines(text) == ci_log_text(text):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_mapping(dumper: _Dumper, mapping: Mapping[str, Any]) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", mapping.items(), flow_style=False)
    node.flow_style = not mapping or set(mapping) in _ONE_LINE
    return node


def _represent_list(dumper: _Dumper, items: list[Any]) -> yaml.Node:
    """On one line, but each item on its own line if the list contains mappings."""
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    node.flow_style = not any(isinstance(item, Mapping) for item in items)
    for item in node.value:
        if isinstance(item, yaml.CollectionNode):
            item.flow_style = True
    return node


class _BlockDumper(_Dumper):
    """Writes a mapping in a list on several lines."""


def _represent_blocks(dumper: _BlockDumper, items: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
    node.flow_style = not any(isinstance(item, Mapping) for item in items)
    return node


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(dict, _represent_mapping)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_multi_representer(str, _represent_text)  # the values of an enumeration
_BlockDumper.add_representer(list, _represent_blocks)
