"""The part of JSON Schema (2020-12) that a policy may use, and the limits of a schema.

A policy is read from a pull request before anybody has reviewed it. Its schemas must cost no more than their size
suggests: references stay within the policy, do not lead in circles, and multiply no more than `MAX_SCHEMA_PARTS`.
`schema_matcher` bounds the patterns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hookline.diagnostics import did_you_mean, nearest
from hookline.policy.policy_problem import PolicyPath, PolicyProblem, ProblemKind
from hookline.policy.schema_matcher import pattern_problem

# For each rule, with the parts behind each reference counted as often as they are used.
MAX_SCHEMA_PARTS = 1_000
# For the nested parts of a rule's schema, with those behind references.
MAX_SCHEMA_DEPTH = 30
MAX_PATTERN_CHARACTERS = 500

_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_ONE = frozenset(["additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"])
_NAMED = frozenset(["properties", "patternProperties", "dependentSchemas", "$defs"])
_LISTED = frozenset(["allOf", "anyOf", "oneOf", "prefixItems"])
_COUNTS = frozenset(
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"]
)
_NUMBERS = frozenset(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"])
_ANNOTATIONS = frozenset(["$comment", "title", "description", "default", "examples"])
_OTHERS = frozenset(["$ref", "type", "enum", "const", "required", "dependentRequired", "uniqueItems", "pattern"])
KEYWORDS = _ONE | _NAMED | _LISTED | _COUNTS | _NUMBERS | _ANNOTATIONS | _OTHERS
_HINTS = {
    "format": "write a pattern; JSON Schema lets programs ignore format",
    "$id": "remove it",
    "$schema": "remove it: policies use JSON Schema 2020-12",
    "unevaluatedProperties": "write additionalProperties",
    "unevaluatedItems": "write items",
    "$dynamicRef": "write $ref",
}
_DEFINITIONS = "#/$defs/"

FieldNames = Mapping[str, Any]
HEADER_NAMES: FieldNames = {"": {}}
"""Stands for the names of headers: any name, in lower case."""


def schema_problems(
    schema: Any, path: PolicyPath, definitions: Mapping[str, Any], fields: FieldNames
) -> Iterator[PolicyProblem]:
    """The problems of one rule's schema.

    Args:
        schema: The value of `require`.
        path: Leads to it in the policy.
        definitions: The `$defs` of the policy.
        fields: The names of the fields of an effective document, each with those of its own fields.
    """
    found = [*_problems(schema, path, definitions), *_field_problems(schema, path, fields, definitions, set())]
    yield from found
    if not found:
        yield from _size_problems(schema, path, definitions)


def _problems(schema: Any, path: PolicyPath, definitions: Mapping[str, Any]) -> Iterator[PolicyProblem]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield _keyword(path, "must be a schema: a mapping of keywords, or true or false", "write require: {…}")
        return
    for keyword, value in schema.items():
        here = (*path, keyword)
        if keyword not in KEYWORDS:
            near = nearest(keyword, KEYWORDS)
            hint = _HINTS.get(keyword) or did_you_mean(near, "docs/reference/policy.md lists the keywords of a rule")
            problem = f"{keyword} is no keyword of a rule"
            yield PolicyProblem(ProblemKind.KEYWORD, here, problem, hint, on_key=True)
        elif keyword == "$ref":
            yield from _reference_problems(value, here, definitions)
        else:
            yield from _value_problems(keyword, value, here)
    for part, inner in _parts(schema):
        yield from _problems(inner, (*path, *part), definitions)


def _keyword(path: PolicyPath, problem: str, hint: str) -> PolicyProblem:
    return PolicyProblem(ProblemKind.KEYWORD, path, problem, hint)


def _reference_problems(value: Any, path: PolicyPath, definitions: Mapping[str, Any]) -> Iterator[PolicyProblem]:
    if not isinstance(value, str) or not value.startswith(_DEFINITIONS) or "/" in value.removeprefix(_DEFINITIONS):
        hint = "write $ref: '#/$defs/NAME', and the schema below $defs of the policy; hookline fetches nothing"
        yield PolicyProblem(ProblemKind.REFERENCE, path, "a reference leads out of the policy's $defs", hint)
    elif value.removeprefix(_DEFINITIONS) not in definitions:
        near = nearest(value.removeprefix(_DEFINITIONS), definitions)
        hint = did_you_mean(near, "add it below $defs of the policy")
        yield PolicyProblem(ProblemKind.REFERENCE, path, f"the policy has no {value}", hint)


def _value_problems(keyword: str, value: Any, path: PolicyPath) -> Iterator[PolicyProblem]:
    """The problems of a keyword's own value. Its inner schemas are examined one by one."""
    wanted = None
    if keyword in _COUNTS and not (type(value) is int and value >= 0):
        wanted = "a whole number, at least 0"
    elif keyword in _NUMBERS and not (type(value) in (int, float) and (keyword != "multipleOf" or value > 0)):
        wanted = "a number"
    elif (keyword in _NAMED or keyword == "dependentRequired") and not isinstance(value, Mapping):
        wanted = "a mapping"
    elif keyword in (*_LISTED, "enum") and not (isinstance(value, list) and value):
        wanted = "a list with at least one item"
    elif keyword == "required" and not _is_names(value):
        wanted = "a list of different keys"
    elif keyword == "dependentRequired" and not all(map(_is_names, value.values())):
        wanted = "a mapping of keys to lists of keys"
    elif keyword == "uniqueItems" and not isinstance(value, bool):
        wanted = "true or false"
    elif keyword == "type" and not _is_type(value):
        wanted = f"one of {', '.join(_TYPES)}, or a list of them"
    elif keyword == "pattern":
        yield from _pattern_problems(value, path)
    elif keyword == "patternProperties":
        for pattern in value:
            yield from _pattern_problems(pattern, (*path, pattern))
    if wanted is not None:
        yield _keyword(path, f"must be {wanted}", "correct the value of the keyword")


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(name in _TYPES for name in names if isinstance(name, str)) and _is_names(names)


def _pattern_problems(value: Any, path: PolicyPath) -> Iterator[PolicyProblem]:
    if not isinstance(value, str):
        yield PolicyProblem(ProblemKind.PATTERN, path, "must be a regular expression", "write it in single quotes")
    elif len(value) > MAX_PATTERN_CHARACTERS:
        long = f"a pattern of {len(value):,} characters; the limit is {MAX_PATTERN_CHARACTERS}"
        yield PolicyProblem(ProblemKind.PATTERN, path, long, "write several rules, or anyOf with several patterns")
    elif (problem := pattern_problem(value)) is not None:
        hint = "patterns have no look-around and no back-references, and repeat a group at most some thousand times"
        yield PolicyProblem(ProblemKind.PATTERN, path, problem, hint)


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[PolicyPath, Any]]:
    """The schemas inside a schema, each with its path."""
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield (keyword,), value
        elif keyword in _NAMED and isinstance(value, Mapping):
            yield from (((keyword, name), inner) for name, inner in value.items())
        elif keyword in _LISTED and isinstance(value, list):
            yield from (((keyword, index), inner) for index, inner in enumerate(value))


def _field_problems(
    schema: Any, path: PolicyPath, fields: FieldNames, definitions: Mapping[str, Any], seen: set[tuple[str, int]]
) -> Iterator[PolicyProblem]:
    """A misspelt field would make a rule that nothing violates. `seen` are the definitions that were examined."""
    if not isinstance(schema, Mapping) or not fields:
        return
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        here = (*path, "properties", name)
        yield from _name_problems(name, here, fields, on_key=True)
        yield from _field_problems(inner, here, fields.get(name, {}), definitions, seen)
    required = schema.get("required")
    for index, name in enumerate(required) if isinstance(required, list) else ():
        yield from _name_problems(str(name), (*path, "required", index), fields, on_key=False)
    for keyword in ("allOf", "anyOf", "oneOf"):
        listed = schema.get(keyword)
        for index, inner in enumerate(listed) if isinstance(listed, list) else ():
            yield from _field_problems(inner, (*path, keyword, index), fields, definitions, seen)
    for keyword in ("not", "if", "then", "else"):
        yield from _field_problems(schema.get(keyword), (*path, keyword), fields, definitions, seen)
    reference = schema.get("$ref")
    name = reference.removeprefix(_DEFINITIONS) if isinstance(reference, str) else ""
    if (name, id(fields)) not in seen:
        seen.add((name, id(fields)))
        for one in _field_problems(definitions.get(name), path, fields, definitions, seen):
            yield replace(one, path=(*path, "$ref"), problem=f"{reference}: {one.problem}", on_key=False)


def _name_problems(name: str, path: PolicyPath, fields: FieldNames, *, on_key: bool) -> Iterator[PolicyProblem]:
    if fields is HEADER_NAMES:
        if name != name.lower():
            problem = f"no effective document has a header {name}: header names are in lower case"
            yield PolicyProblem(ProblemKind.FIELD, path, problem, f"write {name.lower()}", on_key=on_key)
    elif name not in fields:
        hint = did_you_mean(nearest(name, fields), f"the fields are {', '.join(fields)}")
        yield PolicyProblem(ProblemKind.FIELD, path, f"no webhook has a field {name} here", hint, on_key=on_key)


class _Circle(Exception):
    """The argument is the reference that leads back to itself."""


def _size_problems(schema: Any, path: PolicyPath, definitions: Mapping[str, Any]) -> Iterator[PolicyProblem]:
    try:
        parts, depth = _measure(schema, definitions, {}, ())
    except _Circle as circle:
        hint = "a webhook is not nested without end: write the levels out"
        yield PolicyProblem(ProblemKind.REFERENCE, path, f"the reference {circle} leads in a circle", hint)
        return
    if parts > MAX_SCHEMA_PARTS or depth > MAX_SCHEMA_DEPTH:
        problem = f"the schema has {parts:,} parts in {depth} levels with its references"
        hint = f"the limits are {MAX_SCHEMA_PARTS:,} parts and {MAX_SCHEMA_DEPTH} levels: write several rules"
        yield PolicyProblem(ProblemKind.TOO_LARGE, path, problem, hint)


def _measure(
    schema: Any, definitions: Mapping[str, Any], known: dict[str, tuple[int, int]], open_names: tuple[str, ...]
) -> tuple[int, int]:
    """The number of parts and levels of a schema. `known` has those of definitions, `open_names` the way to here."""
    if not isinstance(schema, Mapping):
        return 1, 1
    measured = [_measure(inner, definitions, known, open_names) for _, inner in _parts(schema)]
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.removeprefix(_DEFINITIONS)
        if name in open_names:
            raise _Circle(reference)
        if name not in known:
            known[name] = _measure(definitions[name], definitions, known, (*open_names, name))
        measured.append(known[name])
    return 1 + sum(parts for parts, _ in measured), 1 + max((depth for _, depth in measured), default=0)
