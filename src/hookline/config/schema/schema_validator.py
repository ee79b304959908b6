"""Validates a document against the JSON Schema and returns its errors in plain words.

No other module of `config` but `schema_explanations` imports the schema library. The import takes a third of the time
of a validation of a small directory, so this module is imported only for a document that `fast_validator` does not
accept.

The schema uses `if`/`then` and never `oneOf` for alternatives, so that every error is relevant. `patternErrorMessage`
is the message for a value that does not match a pattern; editors show it as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from hookline.config import error_codes
from hookline.config.document_access import MAX_FINDINGS, DocumentPath, RuleFinding, finding_at, quote
from hookline.config.schema.fast_validator import compiled_pattern
from hookline.config.schema.schema_explanations import (
    EXPLANATIONS,
    POLICY_EXPLANATIONS,
    Explanations,
    as_sorted_json,
    explain_other,
)
from hookline.config.schema.webhook_schemas import defaults_schema, webhook_schema
from hookline.schemas import load_schema

DOCUMENT_VERSION = 1

# If a value has several errors, only the first of these is reported.
_ORDER = ("type", "const", "enum", "minLength", "maxLength", "pattern")


def check_schema(document: Any) -> list[RuleFinding]:
    """Returns findings in the order of the schema: one for each value, and one for each unknown and missing key."""
    version = document.get("version", DOCUMENT_VERSION) if isinstance(document, dict) else DOCUMENT_VERSION
    if isinstance(version, int) and not isinstance(version, bool) and version != DOCUMENT_VERSION:
        hint = f"write version: {DOCUMENT_VERSION}, or use a newer release of hookline"
        problem = f"must be {DOCUMENT_VERSION} for this release, found {quote(version)}"
        return [finding_at(("version",), error_codes.OTHER_VERSION, problem, hint)]
    return _findings(validator(), document, EXPLANATIONS)


def check_defaults(document: Any) -> list[RuleFinding]:
    """Like `check_schema`, for a defaults file whose nulls that remove a default were taken out."""
    return _findings(_validator_of("defaults.v1"), document, EXPLANATIONS)


def check_policy_schema(document: Any) -> list[RuleFinding]:
    """The findings of a policy document, in the order of the schema policy.v1."""
    return _findings(_validator_of("policy.v1"), document, POLICY_EXPLANATIONS)


def _findings(checker: Validator, document: Any, explanations: Explanations) -> list[RuleFinding]:
    by_path: dict[DocumentPath, tuple[int, RuleFinding]] = {}
    findings: list[RuleFinding] = []
    for number, (keyword, finding) in enumerate(_explained(checker, document, explanations), 1):
        if keyword not in _ORDER:
            findings.append(finding)
        elif finding.path not in by_path or _ORDER.index(keyword) < by_path[finding.path][0]:
            by_path[finding.path] = (_ORDER.index(keyword), finding)
        if number == MAX_FINDINGS:
            problem, hint = "the document has more errors", "correct the others, then validate again"
            findings.append(finding_at((), error_codes.MORE_INVALID, problem, hint))
            break
    return [*findings, *(finding for _, finding in by_path.values())]


def _explained(checker: Validator, document: Any, explanations: Explanations) -> Iterator[tuple[str, RuleFinding]]:
    """Yields each finding with its keyword. A document of 1 MiB can have half a million."""
    for error in checker.iter_errors(document):
        keyword = str(error.validator)
        for finding in explanations.get(keyword, explain_other)(error):
            yield keyword, finding


def validator() -> Validator:
    """Returns the library's validator of a webhook with its defaults."""
    return _validator_of("webhook.v1")


@cache
def _validator_of(name: str) -> Validator:
    """The validator of a schema. Unlike JSON Schema, it does not accept 1.0 as an integer."""
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    validator_class = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        validators={"pattern": _match_pattern, "uniqueItems": _require_unique},
        type_checker=types,
    )
    made: Validator = validator_class(_schema_of(name))
    return made


def _schema_of(name: str) -> dict[str, Any]:
    if name == "defaults.v1":
        return defaults_schema()
    return webhook_schema() if name == "webhook.v1" else load_schema(name)


def _match_pattern(_: Validator, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not compiled_pattern(pattern).search(instance):
        yield ValidationError(f"does not match {pattern}")


def _require_unique(_: Validator, wanted: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    """The library compares each item with every other one if it cannot sort them."""
    if wanted and isinstance(instance, list) and len(set(map(as_sorted_json, instance))) < len(instance):
        yield ValidationError("has an item twice")
