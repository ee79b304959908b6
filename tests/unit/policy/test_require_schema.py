"""Hostile and mistaken schemas of rules are refused, and quickly."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.policy.policy_problem import ProblemKind
from hookline.policy.require_schema import HEADER_NAMES, MAX_PATTERN_CHARACTERS, MAX_SCHEMA_DEPTH, schema_problems
from hookline.policy.schema_matcher import SchemaMatcher

FIELDS: dict[str, Any] = {"name": {}, "endpoint": {"host": {}}, "headers": HEADER_NAMES}


def kinds(schema: Any, **definitions: Any) -> set[ProblemKind]:
    return {one.kind for one in schema_problems(schema, ("rules", 0, "require"), definitions, FIELDS)}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    "reference",
    [
        "https://schemas.example/a.json",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "policy.yaml",
        "#",
        "#/rules/0/require",
        "#/$defs/a/properties/name",
        "#/$defs/unknown",
        "//example/a",
        1,
        None,
    ],
)
def test_a_reference_stays_within_the_definitions(reference: object) -> None:
    """No reference leads to a network, a file, or another part of the policy."""
    assert {ProblemKind.REFERENCE} == kinds({"$ref": reference}, a={})


@pytest.mark.parametrize(
    "keyword", ["$id", "$schema", "$anchor", "$dynamicRef", "format", "unevaluatedProperties", "x"]
)
def test_a_keyword_that_is_not_evaluated_is_refused(keyword: str) -> None:
    """A keyword that hookline would not evaluate, or that changes the meaning of references, is an error."""
    assert {ProblemKind.KEYWORD} == kinds({"allOf": [{keyword: "https://example/a"}]})


def test_circles_are_refused() -> None:
    """References that lead back to themselves are refused, directly and over several definitions."""
    assert {ProblemKind.REFERENCE} == kinds({"$ref": "#/$defs/a"}, a={"$ref": "#/$defs/a"})
    through = {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}
    assert {ProblemKind.REFERENCE} == kinds({"$ref": "#/$defs/a"}, **through)


def test_a_schema_that_multiplies_is_refused() -> None:
    """References that double at each step count as often as they are used, without being followed as often."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(25)}
    assert {ProblemKind.TOO_LARGE} == kinds({"$ref": "#/$defs/a0"}, **steps, a25={})


def test_depth_is_limited() -> None:
    """A schema may be nested to the limit, and no deeper; references count."""
    assert set() == kinds(nested(MAX_SCHEMA_DEPTH - 1))
    assert {ProblemKind.TOO_LARGE} == kinds(nested(MAX_SCHEMA_DEPTH))
    assert {ProblemKind.TOO_LARGE} == kinds({"$ref": "#/$defs/a"}, a=nested(MAX_SCHEMA_DEPTH - 1))


@pytest.mark.parametrize(
    "pattern",
    [r"(?=a)", r"(?!a)", r"(a)\1", "(a{1000}){1000}", "[", "(", "a" * (MAX_PATTERN_CHARACTERS + 1), 1, None],
)
def test_a_pattern_that_may_be_slow_is_refused(pattern: object) -> None:
    """A pattern without linear time, too large a one, and a text that is none, in either place of patterns."""
    assert {ProblemKind.PATTERN} == kinds({"pattern": pattern})
    if isinstance(pattern, str):
        assert {ProblemKind.PATTERN} == kinds({"patternProperties": {pattern: {}}})


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*b", r"(.*)*x", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_patterns_that_explode_elsewhere_match_in_linear_time(pattern: str) -> None:
    """Python's expressions would not end on this text before the sun does."""
    matcher = SchemaMatcher({"pattern": pattern}, {})
    assert [""] == [one.path for one in matcher.mismatches("a" * 100_000 + "!")]


@pytest.mark.parametrize(
    "schema",
    [
        1,
        None,
        [],
        {"properties": []},
        {"properties": {"name": 3}},
        {"required": "name"},
        {"required": ["name", "name"]},
        {"minLength": -1},
        {"minLength": True},
        {"maximum": "3"},
        {"multipleOf": 0},
        {"type": "text"},
        {"type": []},
        {"enum": []},
        {"allOf": {}},
        {"dependentRequired": {"name": "url"}},
        {"uniqueItems": "yes"},
    ],
)
def test_a_wrong_value_is_found(schema: Any) -> None:
    """Each keyword is checked for its own form, so that the library never sees an invalid schema."""
    assert {ProblemKind.KEYWORD} == kinds(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"nam": {}}},
        {"properties": {"endpoint": {"properties": {"hosts": {}}}}},
        {"required": ["nam"]},
        {"anyOf": [{"required": ["name"]}, {"not": {"properties": {"nam": {}}}}]},
    ],
)
def test_a_misspelt_field_is_found(schema: Any) -> None:
    """A rule about a field that no webhook has would never be violated, also if it is in a definition."""
    assert {ProblemKind.FIELD} == kinds(schema)
    assert {ProblemKind.FIELD} == kinds({"not": {"$ref": "#/$defs/a"}}, a={"$ref": "#/$defs/b"}, b=schema)
    assert set() == kinds({"properties": {"name": {"$ref": "#/$defs/a"}}}, a=schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"X-Team": {"const": "crm"}}},
        {"required": ["X-Team"]},
        {"not": {"required": ["X-Debug"]}},
    ],
)
def test_header_names_are_in_lower_case(schema: Any) -> None:
    """The effective document has them in lower case, so that a rule about X-Debug would never be violated."""
    problems = [*schema_problems({"properties": {"headers": schema}}, (), {}, FIELDS)]
    assert [ProblemKind.FIELD] == [one.kind for one in problems]
    assert problems[0].hint in ("write x-team", "write x-debug")


def test_fields_of_definitions_that_multiply_are_examined_once() -> None:
    """Definitions that each name the next one twice do not cost exponential time."""
    ladder = {f"d{step}": {"allOf": [{"$ref": f"#/$defs/d{step + 1}"}] * 2} for step in range(60)}
    assert {ProblemKind.TOO_LARGE} == kinds({"$ref": "#/$defs/d0"}, **ladder, d60={})


@pytest.mark.parametrize(
    "schema",
    [
        True,
        False,
        {},
        {"properties": {"headers": {"required": ["x-team"], "properties": {"x-team": {"const": "crm"}}}}},
        {"if": {"required": ["name"]}, "then": {"maxProperties": 30}, "else": False},
        {"$ref": "#/$defs/a", "$comment": "twice", "allOf": [{"$ref": "#/$defs/a"}]},
    ],
)
def test_what_is_accepted_can_be_evaluated(schema: Any) -> None:
    """The library accepts what the checks accept."""
    definitions = {"a": {"properties": {"name": {"type": ["string", "null"], "pattern": "^[A-Z]"}}}}
    assert set() == kinds(schema, **definitions)
    SchemaMatcher(schema, definitions).mismatches({"name": "Feedback"})
