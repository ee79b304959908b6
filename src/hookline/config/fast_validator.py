"""The JSON Schema's yes or no, without its words: checks compiled from the same schema, a tenth of the price.

Nearly every document is valid, and of a valid one nobody asks which rule it keeps. So the schema is compiled into
plain functions that answer only yes or no; where they say no, the schema library judges (`schema.check`) and finds
the words. They may say no too often and never yes too often: a keyword that is not known here is a no, and a property
test holds both against each other. The library is not even imported for a directory without mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from hookline.schemas import load_schema

Accepts = Callable[[Any], bool]
_Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset(
    ["$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "format"]
)
_TYPES: Mapping[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,  # 1.0 is none: see schema.validator
}


@cache
def webhook_validator() -> Accepts:
    """Whether a document keeps to the schema of webhooks, version 1. True is certain; False needs a second look."""
    return compile_validator(load_schema("webhook.v1"))


def compile_validator(schema: _Schema) -> Accepts:
    """The yes or no of a schema whose references are all within itself."""
    return _compile(schema, schema)


@cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """As ECMA-262 reads it, which JSON Schema prescribes: `$` is the very end, not also before a last line break."""
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _compile(schema: _Schema, root: _Schema) -> Accepts:
    accepts: list[Accepts] = []
    for keyword, wanted in schema.items():
        if keyword in _BESIDE:
            continue
        make = _MAKERS.get(keyword)
        accepts.append(make(wanted, schema, root) if make else _never)
    if len(accepts) == 1:
        return accepts[0]
    together = tuple(accepts)

    def all_of(value: Any) -> bool:
        for accept in together:  # noqa: SIM110 - `all` with a generator takes twice as long
            if not accept(value):
                return False
        return True

    return all_of


def _never(_: Any) -> bool:
    return False


def _reference(target: str, _: _Schema, root: _Schema) -> Accepts:
    found: Any = root
    if not target.startswith("#/"):
        return _never
    for part in target[2:].split("/"):
        found = found[part]
    return _compile(found, root)


def _type(wanted: str | list[str], _: _Schema, __: _Schema) -> Accepts:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not all(name in _TYPES for name in names):
        return _never
    if len(names) == 1:
        only = _TYPES[names[0]]
        return lambda value: type(value) is only
    several = tuple(_TYPES[name] for name in names)
    return lambda value: type(value) in several


def _enum(allowed: list[Any], _: _Schema, __: _Schema) -> Accepts:
    # The type too: True == 1 and 1.0 == 1 to Python. What cannot be hashed is left to the library.
    known = {(type(each), each) for each in allowed if isinstance(each, str | int | bool)}
    return lambda value: isinstance(value, str | int) and (type(value), value) in known


def _const(allowed: Any, schema: _Schema, root: _Schema) -> Accepts:
    return _enum([allowed], schema, root)


def _pattern(pattern: str, _: _Schema, __: _Schema) -> Accepts:
    search = compiled_pattern(pattern).search
    return lambda value: type(value) is not str or search(value) is not None


def _length(kind: type[Any], *, least: bool) -> Callable[[int, _Schema, _Schema], Accepts]:
    def make(bound: int, _: _Schema, __: _Schema) -> Accepts:
        if least:
            return lambda value: type(value) is not kind or len(value) >= bound
        return lambda value: type(value) is not kind or len(value) <= bound

    return make


def _minimum(bound: int, _: _Schema, __: _Schema) -> Accepts:
    return lambda value: not isinstance(value, int | float) or value >= bound


def _maximum(bound: int, _: _Schema, __: _Schema) -> Accepts:
    return lambda value: not isinstance(value, int | float) or value <= bound


def _unique(wanted: bool, _: _Schema, __: _Schema) -> Accepts:
    def unique(value: Any) -> bool:
        if not wanted or type(value) is not list:
            return True
        return all(type(item) is str for item in value) and len(set(value)) == len(value)

    return unique


def _items(schema: _Schema, _: _Schema, root: _Schema) -> Accepts:
    accept = _compile(schema, root)
    return lambda value: type(value) is not list or all(map(accept, value))


def _required(keys: list[str], _: _Schema, __: _Schema) -> Accepts:
    wanted = frozenset(keys)
    return lambda value: type(value) is not dict or wanted <= value.keys()


def _properties(properties: _Schema, _: _Schema, root: _Schema) -> Accepts:
    accepts = {key: _compile(schema, root) for key, schema in properties.items()}

    def each(value: Any) -> bool:
        if type(value) is dict:
            for key, held in value.items():
                if key in accepts and not accepts[key](held):
                    return False
        return True

    return each


def _additional(others: _Schema | bool, schema: _Schema, root: _Schema) -> Accepts:
    known = frozenset(schema.get("properties", ()))
    if others is False:
        return lambda value: type(value) is not dict or value.keys() <= known
    if not isinstance(others, Mapping):
        return _never
    accept = _compile(others, root)
    return lambda value: (
        type(value) is not dict or all(accept(held) for key, held in value.items() if key not in known)
    )


def _if(condition: _Schema, schema: _Schema, root: _Schema) -> Accepts:
    """`then` and `else` are read here. Of a condition a wrong no would be a yes elsewhere: it must be exact."""
    if not _is_exact(condition):
        return _never
    judge = _compile(condition, root)
    then, otherwise = _compile(schema.get("then", {}), root), _compile(schema.get("else", {}), root)
    return lambda value: then(value) if judge(value) else otherwise(value)


def _is_exact(schema: _Schema) -> bool:
    """Whether the compiled form of a schema says no only where the library does."""
    for keyword, wanted in schema.items():
        if keyword == "properties":
            if not all(_is_exact(each) for each in wanted.values()):
                return False
        elif keyword == "const":
            if not isinstance(wanted, str):
                return False
        elif keyword not in ("type", "required"):
            return False
    return True


def _not(_: _Schema, __: _Schema, ___: _Schema) -> Accepts:
    """Nothing keeps to `not: {}`, the only one in use; any other would be the library's to judge."""
    return _never


_MAKERS: Mapping[str, Callable[[Any, _Schema, _Schema], Accepts]] = {
    "$ref": _reference,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _length(str, least=True),
    "maxLength": _length(str, least=False),
    "minItems": _length(list, least=True),
    "maxItems": _length(list, least=False),
    "minProperties": _length(dict, least=True),
    "maxProperties": _length(dict, least=False),
    "minimum": _minimum,
    "maximum": _maximum,
    "uniqueItems": _unique,
    "items": _items,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "if": _if,
    "not": _not,
}
# Read by another keyword, or by editors.
_BESIDE = _ANNOTATIONS | {"then", "else", "patternErrorMessage"}
