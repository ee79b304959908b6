"""Checks whether a document is valid, ten times as fast as the schema library and without messages.

Nearly every document is valid, and a valid one needs no messages. Therefore the JSON Schema is compiled into plain
functions that return True or False. If they return False, the schema library validates the document again
(`schema_validator.check_schema`) and produces the findings. The functions may return False for a valid document, but
never True for an invalid one: an unknown keyword yields False, and a property test compares both validators. A
directory without mistakes does not import the library at all.
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
    "integer": int,  # 1.0 is not an integer: see schema_validator.validator
}


@cache
def webhook_validator() -> Accepts:
    """Returns the validator of the schema webhook.v1. True is certain; False needs the schema library."""
    return compile_validator(load_schema("webhook.v1"))


def compile_validator(schema: _Schema) -> Accepts:
    """Returns the validator of a schema. All references must be within the schema."""
    return _compile(schema, schema)


@cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern by ECMA-262, as JSON Schema requires: `$` matches only at the end, not before a last line
    break.
    """
    return re.compile(pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern)


def _compile(schema: _Schema, root: _Schema) -> Accepts:
    accepts: list[Accepts] = []
    for keyword, wanted in schema.items():
        if keyword in _IGNORED:
            continue
        compile_keyword = _COMPILERS.get(keyword)
        accepts.append(compile_keyword(wanted, schema, root) if compile_keyword else _never)
    if len(accepts) == 1:
        return accepts[0]
    all_accepts = tuple(accepts)

    def all_of(value: Any) -> bool:
        for accept in all_accepts:  # noqa: SIM110 - `all` with a generator takes twice as long
            if not accept(value):
                return False
        return True

    return all_of


def _never(_: Any) -> bool:
    return False


def _reference(target: str, _: _Schema, root: _Schema) -> Accepts:
    schema: Any = root
    if not target.startswith("#/"):
        return _never
    for part in target[2:].split("/"):
        schema = schema[part]
    return _compile(schema, root)


def _type(wanted: str | list[str], _: _Schema, __: _Schema) -> Accepts:
    names = [wanted] if isinstance(wanted, str) else wanted
    if not all(name in _TYPES for name in names):
        return _never
    if len(names) == 1:
        single = _TYPES[names[0]]
        return lambda value: type(value) is single
    types = tuple(_TYPES[name] for name in names)
    return lambda value: type(value) in types


def _enum(allowed: list[Any], _: _Schema, __: _Schema) -> Accepts:
    # With the type, because True == 1 and 1.0 == 1 in Python. The library checks values that cannot be hashed.
    known = {(type(item), item) for item in allowed if isinstance(item, str | int | bool)}
    return lambda value: isinstance(value, str | int) and (type(value), value) in known


def _const(allowed: Any, schema: _Schema, root: _Schema) -> Accepts:
    return _enum([allowed], schema, root)


def _pattern(pattern: str, _: _Schema, __: _Schema) -> Accepts:
    search = compiled_pattern(pattern).search
    return lambda value: type(value) is not str or search(value) is not None


def _length(kind: type[Any], *, minimum: bool) -> Callable[[int, _Schema, _Schema], Accepts]:
    def make(bound: int, _: _Schema, __: _Schema) -> Accepts:
        if minimum:
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

    def all_valid(value: Any) -> bool:
        if type(value) is dict:
            for key, item in value.items():
                if key in accepts and not accepts[key](item):
                    return False
        return True

    return all_valid


def _additional(others: _Schema | bool, schema: _Schema, root: _Schema) -> Accepts:
    known = frozenset(schema.get("properties", ()))
    if others is False:
        return lambda value: type(value) is not dict or value.keys() <= known
    if not isinstance(others, Mapping):
        return _never
    accept = _compile(others, root)
    return lambda value: (
        type(value) is not dict or all(accept(item) for key, item in value.items() if key not in known)
    )


def _if(condition: _Schema, schema: _Schema, root: _Schema) -> Accepts:
    """Compiles `if`, `then` and `else`. The condition must be exact, because a wrong False would select the wrong
    branch.
    """
    if not _is_exact(condition):
        return _never
    holds = _compile(condition, root)
    then, otherwise = _compile(schema.get("then", {}), root), _compile(schema.get("else", {}), root)
    return lambda value: then(value) if holds(value) else otherwise(value)


def _is_exact(schema: _Schema) -> bool:
    """Whether the compiled schema returns False only if the library does."""
    for keyword, wanted in schema.items():
        if keyword == "properties":
            if not all(_is_exact(item) for item in wanted.values()):
                return False
        elif keyword == "const":
            if not isinstance(wanted, str):
                return False
        elif keyword not in ("type", "required"):
            return False
    return True


def _not(_: _Schema, __: _Schema, ___: _Schema) -> Accepts:
    """The schema uses only `not: {}`, which accepts nothing. The library checks any other."""
    return _never


_COMPILERS: Mapping[str, Callable[[Any, _Schema, _Schema], Accepts]] = {
    "$ref": _reference,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _length(str, minimum=True),
    "maxLength": _length(str, minimum=False),
    "minItems": _length(list, minimum=True),
    "maxItems": _length(list, minimum=False),
    "minProperties": _length(dict, minimum=True),
    "maxProperties": _length(dict, minimum=False),
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
# Another keyword or an editor reads these.
_IGNORED = _ANNOTATIONS | {"then", "else", "patternErrorMessage"}
