"""The schemas that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hookline.config.rules.all_rules import check_rules
from hookline.config.schema import schema_validator
from hookline.schemas import load_schema, schema_names, schema_text
from hookline.units import DURATION_PATTERN, RATE_PATTERN


@pytest.mark.parametrize("name", schema_names())
def test_is_a_schema(name: str) -> None:
    """Every schema of the folder is one of JSON Schema 2020-12."""
    assert load_schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(load_schema(name))


def test_newest_version() -> None:
    """A name without a version means the newest version."""
    assert schema_text("webhook") == schema_text("webhook.v1")


def test_unknown_name() -> None:
    """There is no schema of an unknown name, nor of a part of one."""
    with pytest.raises(KeyError):
        schema_text("web")


def _properties(of: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, property_ in of.get("properties", {}).items():
        if "if" not in path:
            yield f"{path}/{name}", property_
        yield from _properties(property_, f"{path}/{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(of.get(keyword), dict):
            yield f"{path}/{keyword}", of[keyword]
            yield from _properties(of[keyword], f"{path}/{keyword}")


def test_an_editor_can_explain_every_field() -> None:
    """Every field of a webhook file has a title, a description and an example that is allowed there."""
    whole = load_schema("webhook.v1")
    fields = [(path, field) for path, field in _properties(whole) if "$ref" not in field or "title" in field]
    assert len(fields) > 40
    bare = [path for path, field in fields if not (field.get("title") and field.get("description"))]
    assert bare == []
    wrong = [
        path
        for path, field in fields
        for example in field.get("examples") or [object()]
        if not Draft202012Validator({**field, "$defs": whole["$defs"]}).is_valid(example)
    ]
    assert wrong == []


def test_an_editor_can_explain_every_field_of_a_policy() -> None:
    """Every field of a policy file has a title, a description and an example that is allowed there."""
    whole = load_schema("policy.v1")
    parts = [whole, *whole["$defs"].values()]
    named = [(path, field) for part in parts for path, field in _properties(part) if not path.endswith("/items")]
    fields = [
        (path, whole["$defs"].get(str(field.get("$ref")).rpartition("/")[2], {}) | field) for path, field in named
    ]
    assert len(fields) > 30
    assert [] == [path for path, field in fields if not (field.get("title") and field.get("description"))]
    assert [] == [
        path
        for path, field in fields
        for example in field.get("examples") or [object()]
        if not Draft202012Validator({**field, "$defs": whole["$defs"]}).is_valid(example)
    ]


def test_examples_pass_all_checks() -> None:
    """The schema's example of a whole webhook is valid."""
    for example in load_schema("webhook.v1")["examples"]:
        assert [*schema_validator.check_schema(example), *check_rules(example)] == []


def test_patterns_are_those_of_the_reader() -> None:
    """Durations and rates are of the same form in the schema and in the code that reads them."""
    found = {field["pattern"] for _, field in _properties(load_schema("webhook.v1")) if "pattern" in field}
    assert {DURATION_PATTERN, RATE_PATTERN} <= found
