"""Reads a policy file, and reports all its errors with their places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookline.canonical import canonical_text
from hookline.config import error_codes
from hookline.config.discovery import FilePath, name_of_path, read_file
from hookline.config.document_access import RuleFinding, finding_at
from hookline.config.source_text import HiddenText, SourceFinding, SourcePosition, SourceText, decode_source
from hookline.config.yaml_parser import find_positions, parse_yaml
from hookline.diagnostics import Diagnostic, sorted_diagnostics
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.paths import path_exists
from hookline.policy.policy import Policy, parse_policy, policy_document
from hookline.policy.policy_checks import ENDPOINT_FIELDS, policy_problems, too_many_rules
from hookline.policy.policy_problem import PolicyProblem, ProblemKind
from hookline.policy.require_schema import HEADER_NAMES, FieldNames
from hookline.schemas import load_schema

_CODES = {
    ProblemKind.RULE_ID: error_codes.POLICY_RULE_ID,
    ProblemKind.KEYWORD: error_codes.POLICY_KEYWORD,
    ProblemKind.REFERENCE: error_codes.POLICY_REFERENCE,
    ProblemKind.PATTERN: error_codes.POLICY_PATTERN,
    ProblemKind.TOO_LARGE: error_codes.POLICY_TOO_LARGE,
    ProblemKind.FIELD: error_codes.POLICY_FIELD,
    ProblemKind.WINDOW: error_codes.POLICY_WINDOW,
    ProblemKind.ZONE: error_codes.POLICY_ZONE,
    ProblemKind.FOLDER: error_codes.POLICY_FOLDER,
}
# Keys of a webhook file that are no part of the effective document.
_FILE_ONLY = frozenset(["movedFrom"])


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A policy file without errors. `canonical` is the text that a state stores; `name` is the file's."""

    name: str
    policy: Policy
    canonical: str


def read_policy_file(path: Path) -> PolicyFile:
    """Reads a policy file.

    Raises:
        InvalidConfiguration: The file has errors; it has all of them.
        WrongUse: The file does not exist.
        StateUnusable: The policy has rules, and the package that checks them is missing.
    """
    if not path_exists(path):
        raise WrongUse(f"no policy file {path}", hint="name a YAML file with version: 1 and rules")
    name = name_of_path(str(path))
    file = read_file(FilePath(name, str(path)), hint="name a YAML file with version: 1 and rules")
    if isinstance(file, Diagnostic):
        raise InvalidConfiguration((file,))
    text = decode_source(file.data)
    if isinstance(text, SourceFinding):
        raise InvalidConfiguration((_diagnostic(name, text, text.position, None, None),))
    document, findings = _parse(text)
    if findings:
        raise InvalidConfiguration(_located(name, text, findings))
    return PolicyFile(name, parse_policy(document), canonical_text(policy_document(document)))


def canonical_policy_text(path: Path) -> str | None:
    """The canonical text of a policy file, None if it cannot be read as one. It may have errors in its rules."""
    file = read_file(FilePath(name_of_path(str(path)), str(path)))
    text = None if isinstance(file, Diagnostic) else decode_source(file.data)
    if text is None or isinstance(text, SourceFinding):
        return None
    parsed = parse_yaml(text.text)
    if parsed.findings or len(parsed.documents) != 1:
        return None
    try:
        return canonical_text(policy_document(parsed.documents[0].value))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


def _parse(text: SourceText) -> tuple[Mapping[str, Any], list[SourceFinding | RuleFinding]]:
    """The document, and its findings. The document is valid if there is none."""
    parsed = parse_yaml(text.text)
    documents = [one.value for one in parsed.documents if one.value is not None]
    if parsed.findings:
        return {}, [*parsed.findings]
    if len(documents) != 1 or not isinstance(documents[0], dict):
        found = "no document" if not documents else f"{len(documents)} documents" if documents[1:] else "no mapping"
        hint = "write one document with version: 1 and rules"
        return {}, [finding_at((), error_codes.NO_POLICY, f"a policy is one mapping of keys, found {found}", hint)]
    return documents[0], [*check_policy_document(documents[0])]


def check_policy_document(document: Mapping[str, Any]) -> list[RuleFinding]:
    """The findings of a policy document. The schemas of its rules are examined once its form is right."""
    from hookline.config.schema.schema_validator import check_policy_schema  # noqa: PLC0415 - loads the schema library

    if (problem := too_many_rules(document)) is not None:
        return [_finding_of(problem)]
    if findings := check_policy_schema(document):
        return findings
    return [_finding_of(one) for one in policy_problems(document, _field_names(), is_time_zone)]


def _finding_of(one: PolicyProblem) -> RuleFinding:
    return RuleFinding(code=_CODES[one.kind], path=one.path, summary=one.problem, hint=one.hint, on_key=one.on_key)


def is_time_zone(name: str) -> bool:
    """Whether this machine knows a time zone. The standard library raises other errors for names of directories."""
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only for freeze windows

    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


def _field_names() -> FieldNames:
    """The fields of an effective document, by the schema of webhook files."""
    fields = _names(load_schema("webhook.v1"))
    known = {name: inner for name, inner in fields.items() if name not in _FILE_ONLY}
    return {**known, "headers": HEADER_NAMES, "endpoint": ENDPOINT_FIELDS}


def _names(schema: Mapping[str, Any]) -> FieldNames:
    return {name: _names(inner) for name, inner in schema.get("properties", {}).items()}


def _located(name: str, text: SourceText, findings: Iterable[SourceFinding | RuleFinding]) -> tuple[Diagnostic, ...]:
    positions = find_positions(text.text)
    diagnostics = []
    for finding in findings:
        if isinstance(finding, SourceFinding):
            position = finding.position
        elif positions.documents:
            position = positions.documents[0].of(finding.path, on_key=finding.on_key)
        else:
            position = SourcePosition(1, 1)
        diagnostics.append(_diagnostic(name, finding, position, text, positions.hidden))
    return sorted_diagnostics(diagnostics)


def _diagnostic(
    name: str,
    finding: SourceFinding | RuleFinding,
    position: SourcePosition,
    text: SourceText | None,
    hidden: HiddenText | None,
) -> Diagnostic:
    return Diagnostic(
        code=finding.code,
        file=name,
        line=position.line,
        column=position.column,
        summary=finding.summary,
        hint=finding.hint,
        excerpt=text.excerpt(position.line, position.column, hidden) if text and hidden else None,
    )
