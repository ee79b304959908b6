"""A defaults file: its values, its errors, and the places of its values.

A file is checked by itself first, so that an error of it is reported once and not for each webhook below it. Its
invalid values are left out; the webhooks that would have them count as invalid, without findings of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hookline.config import error_codes
from hookline.config.defaults.merging import Values, is_mentioned, unit_of, units, without_units
from hookline.config.discovery import FilePath, WebhookFile, read_file
from hookline.config.document_access import DocumentPath, RuleFinding, finding_at, secret_references
from hookline.config.rules.all_rules import check_rules
from hookline.config.schema.webhook_schemas import DEFAULTABLE_KEYS
from hookline.config.source_text import SourcePosition, SourceText, decode_source, source_diagnostic
from hookline.config.yaml_parser import TextPositions, YamlDocument, find_positions, parse_yaml
from hookline.diagnostics import Diagnostic

_ALL: frozenset[DocumentPath] = frozenset((key,) for key in DEFAULTABLE_KEYS)


@dataclass(frozen=True)
class DefaultsFile:
    """`values` are the valid ones. `invalid` are the units of the others; all keys if the file is `unreadable`.

    `findings` have the path of a value, or no path if they concern the whole file.
    """

    name: str
    values: Values
    invalid: frozenset[DocumentPath] = frozenset()
    findings: tuple[tuple[DocumentPath, Diagnostic], ...] = ()
    text: SourceText = field(default=SourceText(""), repr=False)
    index: int = 0
    unreadable: bool = False

    @cached_property
    def positions(self) -> TextPositions:
        return find_positions(self.text.text)

    def position(self, path: DocumentPath, *, on_key: bool = False) -> SourcePosition:
        documents = self.positions.documents
        if self.index >= len(documents):
            return SourcePosition(1, 1)
        return documents[self.index].of(path, on_key=on_key)

    def diagnostic(self, finding: RuleFinding, note: str = "") -> Diagnostic:
        """A finding of this file, or of a webhook whose value comes from this file."""
        position = self.position(finding.path, on_key=finding.on_key)
        return Diagnostic(
            code=finding.code,
            file=self.name,
            line=position.line,
            column=position.column,
            summary=finding.summary + note,
            hint=finding.hint,
            excerpt=self.text.excerpt(position.line, position.column, self.positions.hidden),
        )


def read_defaults(found: FilePath | Diagnostic, above: Iterable[DefaultsFile], *, is_root: bool) -> DefaultsFile:
    """Reads and checks a defaults file.

    Args:
        found: the file, or the reason why it cannot be read.
        above: the defaults files above it, the nearest first.
        is_root: whether it is the defaults file of the configuration directory, which has no secrets.
    """
    file = found if isinstance(found, Diagnostic) else read_file(found)
    if isinstance(file, Diagnostic):
        return _unusable(file.file or "", [file])
    return _checked(file, list(above), is_root=is_root)


def _unusable(name: str, diagnostics: Iterable[Diagnostic]) -> DefaultsFile:
    return DefaultsFile(name, {}, _ALL, tuple(((), one) for one in diagnostics), unreadable=True)


def _checked(file: WebhookFile, above: list[DefaultsFile], *, is_root: bool) -> DefaultsFile:
    text = decode_source(file.data)
    if not isinstance(text, SourceText):
        return _unusable(file.name, [source_diagnostic(file.name, text)])
    parsed = parse_yaml(text.text)
    if parsed.findings:
        hidden = find_positions(text.text).hidden
        return _unusable(file.name, [source_diagnostic(file.name, one, text, hidden) for one in parsed.findings])
    documents = [(index, one) for index, one in enumerate(parsed.documents) if one.value is not None]
    if len(documents) > 1:
        return _unusable(file.name, [_documents_problem(file.name, documents[1][1])])
    if not documents:
        hint = "write the defaults into it, or delete the file"
        empty = Diagnostic(code=error_codes.NO_DOCUMENT, file=file.name, summary="contains no defaults", hint=hint)
        return DefaultsFile(file.name, {}, findings=(((), empty),))
    index, document = documents[0]
    return _with_findings(
        DefaultsFile(file.name, {}, text=text, index=index), document.value, _findings(document.value, above, is_root)
    )


def _documents_problem(name: str, second: YamlDocument) -> Diagnostic:
    summary = "a second document begins here; a defaults file contains exactly one"
    hint = "merge the two documents, or move webhooks to a file of their own"
    return Diagnostic(
        code=error_codes.DEFAULTS_DOCUMENTS, file=name, line=second.line, column=1, summary=summary, hint=hint
    )


def _findings(value: Any, above: list[DefaultsFile], is_root: bool) -> list[RuleFinding]:
    from hookline.config.schema import schema_validator  # noqa: PLC0415 - a directory without defaults needs no library

    document = _without_removals(value, above) if type(value) is dict else value
    findings = schema_validator.check_defaults(document)
    if type(value) is dict:
        known = {finding.path for finding in findings}
        findings += [finding for finding in check_rules(document) if finding.path not in known]
    if is_root:
        hint = (
            "write it in the defaults file of a folder, or in each webhook file: the root's defaults are for all URLs"
        )
        problem = "the root's defaults file cannot refer to a secret"
        findings += [finding_at(path, error_codes.ROOT_SECRET, problem, hint) for path, _ in secret_references(value)]
    return findings


def _without_removals(value: Values, above: list[DefaultsFile]) -> dict[str, Any]:
    """The values without each null that removes a default of a file above."""
    removals = {
        name
        for name, path, inner in units(value)
        if inner is None
        and any(is_mentioned(one.values, path) or not one.invalid.isdisjoint((name, name[:1])) for one in above)
    }
    return without_units(value, removals)


def _with_findings(file: DefaultsFile, value: Any, findings: list[RuleFinding]) -> DefaultsFile:
    located = tuple((finding.path, file.diagnostic(finding)) for finding in findings)
    if type(value) is not dict:
        return replace(file, invalid=_ALL, findings=located, unreadable=True)
    invalid = frozenset(unit_of(value, finding.path) for finding in findings if finding.path)
    known = {key: one for key, one in value.items() if key in DEFAULTABLE_KEYS}
    values = without_units(known, invalid)
    return replace(
        file, values=values, invalid=frozenset(one for one in invalid if one[:1] in _ALL), findings=located
    )
