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
from operator import ge, le, pos
from typing import Any

from hookline.config.schema.webhook_schemas import webhook_schema

Accepts = Callable[[Any], bool]
_Schema = Mapping[str, Any]
# The arguments: the value of a keyword, the schema of the keyword, and the whole schema.
_Compiler = Callable[[Any, _Schema, _Schema], Accepts]

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
    """Returns the validator of a webhook with its defaults. True is certain; False needs the schema library."""
    return compile_validator(webhook_schema())


def compile_validator(schema: _Schema) -> Accepts:
    """Returns the validator of a schema. All references must be within the schema."""
    return _compile(schema, schema)


@cache
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Compiles a pattern by ECMA-262, as JSON Schema requires: `$` does not match before a last line break."""
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


def _pattern(pattern: str, _: _Schema, __: _Schema) -> Accepts:
    search = compiled_pattern(pattern).search
    return lambda value: type(value) is not str or search(value) is not None


def _bounded(kinds: tuple[type, ...], measure: Callable[[Any], int], holds: Callable[[Any, Any], bool]) -> _Compiler:
    """Compiles a limit: `holds` compares the measure of a value with it. Values of other types are accepted."""
    return lambda bound, _, __: lambda value: type(value) not in kinds or holds(measure(value), bound)


def _unique(wanted: bool, _: _Schema, __: _Schema) -> Accepts:
    if not wanted:
        return lambda _: True
    return lambda value: (
        type(value) is not list or (all(type(item) is str for item in value) and len(set(value)) == len(value))
    )


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
    # A wrong False of the condition would select the wrong branch.
    if not _is_exact(condition):
        return _never
    holds = _compile(condition, root)
    then, otherwise = _compile(schema.get("then", {}), root), _compile(schema.get("else", {}), root)
    return lambda value: then(value) if holds(value) else otherwise(value)


def _is_exact(schema: _Schema) -> bool:
    """Whether the compiled schema returns False only if the library does."""
    return all(
        keyword in ("type", "required")
        or (keyword == "properties" and all(map(_is_exact, wanted.values())))
        or (keyword == "const" and isinstance(wanted, str))
        for keyword, wanted in schema.items()
    )


_COMPILERS: Mapping[str, _Compiler] = {
    "$ref": _reference,
    "type": _type,
    "enum": _enum,
    "const": lambda allowed, schema, root: _enum([allowed], schema, root),
    "pattern": _pattern,
    "minLength": _bounded((str,), len, ge),
    "maxLength": _bounded((str,), len, le),
    "minItems": _bounded((list,), len, ge),
    "maxItems": _bounded((list,), len, le),
    "minProperties": _bounded((dict,), len, ge),
    "maxProperties": _bounded((dict,), len, le),
    "minimum": _bounded((int, float), pos, ge),
    "maximum": _bounded((int, float), pos, le),
    "uniqueItems": _unique,
    "items": _items,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "if": _if,
    "not": lambda *_: _never,  # the schema uses only `not: {}`, which accepts nothing; the library checks any other
}
# Another keyword or an editor reads these.
_IGNORED = _ANNOTATIONS | {"then", "else", "patternErrorMessage"}
