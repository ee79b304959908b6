"""Documents against the schemas of rules."""

from __future__ import annotations

import sys

import pytest

from hookline.errors import StateUnusable
from hookline.policy import schema_matcher
from hookline.policy.schema_matcher import MAX_MISMATCHES, SchemaMatcher


def test_differences_have_pointers() -> None:
    """Each difference names its value, by a JSON pointer with its escapes."""
    schema = {"properties": {"headers": {"additionalProperties": {"type": "string"}}}, "required": ["owner"]}
    found = SchemaMatcher(schema, {}).mismatches({"headers": {"a/b~c": 1, "d": "e"}})
    assert [("", '"owner" is a required property'), ("/headers/a~1b~0c", '1 is not of type "string"')] == [
        (one.path, one.message) for one in found
    ]


def test_differences_are_limited() -> None:
    """A webhook with a thousand wrong values shows the first ones, and none has a text without end."""
    found = SchemaMatcher({"items": {"const": "x" * 10_000}}, {}).mismatches([str(number) for number in range(1000)])
    assert MAX_MISMATCHES == len(found)
    assert all(len(str(one.message)) <= 200 for one in found)


def test_definitions_and_false() -> None:
    """A reference leads to a definition; the schema false refuses everything, without a description."""
    definitions = {"jwt": {"properties": {"type": {"const": "jwt"}}}}
    matcher = SchemaMatcher({"properties": {"authentication": {"$ref": "#/$defs/jwt"}}}, definitions)
    assert ["/authentication/type"] == [one.path for one in matcher.mismatches({"authentication": {"type": "none"}})]
    assert [("", None)] == [(one.path, one.message) for one in SchemaMatcher(False, definitions).mismatches({})]
    assert [] == SchemaMatcher(True, definitions).mismatches({})


def test_a_pattern_follows_ecma() -> None:
    """The end of a text is its end, not the place before a last line break, and a digit is an ASCII digit."""
    matcher = SchemaMatcher({"pattern": r"^\d+$"}, {})
    assert [] == matcher.mismatches("12")
    assert [] != matcher.mismatches("12\n")
    assert [] != matcher.mismatches("٣")


def test_nothing_is_fetched() -> None:
    """A reference that was put into the state by hand is refused before the network is asked."""
    with pytest.raises(ValueError, match="not valid"):
        SchemaMatcher({"$ref": "http://localhost:1/a.json"}, {})


def test_without_the_package_nothing_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the package for rules is missing, the state cannot be used, and the message says how to install it."""
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    schema_matcher._library.cache_clear()
    try:
        with pytest.raises(StateUnusable) as refused:
            SchemaMatcher({}, {})
    finally:
        schema_matcher._library.cache_clear()
    assert "pip install jsonschema-rs" in str(refused.value.hint)


def test_a_constant_that_does_not_match_shows_both_values() -> None:
    """The file may write 60s where the effective document has 1m: without the value, the message seems wrong."""
    (found,) = SchemaMatcher({"properties": {"timeout": {"const": "60s"}}}, {}).mismatches({"timeout": "1m"})
    assert '"60s" was expected, found "1m"' == found.message
