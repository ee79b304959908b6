"""Validates webhook files.

`validate_file` is a function of the bytes of one file, so any number of files can be validated in parallel.
`conflicts` then compares the documents of all files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hookline.canonical import canonical_document, canonical_text
from hookline.config import error_codes
from hookline.config.defaults.defaults_chain import NO_DEFAULTS, DefaultsChain, Inherited
from hookline.config.defaults.shared_findings import Heir, SharedFinding
from hookline.config.discovery import WebhookFile
from hookline.config.document_access import DocumentPath, RuleFinding, address_of, text_at
from hookline.config.rules.all_rules import check_rules
from hookline.config.rules.move_rules import earlier_address
from hookline.config.schema.fast_validator import webhook_validator
from hookline.config.source_text import HiddenText, SourceFinding, SourcePosition, SourceText, decode_source
from hookline.config.yaml_parser import TextPositions, YamlDocument, find_positions, parse_yaml
from hookline.diagnostics import Diagnostic
from hookline.model import Address, FileLocation

# For each document; findings of the YAML parser: for each file.
MAX_DIAGNOSTICS_PER_CODE = 20
# For all documents of a file.
MAX_DIAGNOSTICS_PER_CODE_AND_FILE = 100
# The schema library takes half a millisecond for an invalid document.
MAX_EXPLAINED_DOCUMENTS = 200


@dataclass(frozen=True, slots=True)
class ValidatedDocument:
    """The parts of a document that other documents and the plan need.

    `canonical` is the text of the canonical document, None if the document has a finding. `index` counts the
    documents of the file from 0. `line` (from 1) is the line on which the document begins. `moved_from` is the
    earlier address that the document names. `inherited` has the places of the values that come from defaults files.
    """

    file: str
    index: int
    line: int
    address: Address | None
    sandbox_id: str | None
    canonical: str | None
    moved_from: Address | None = None
    inherited: Inherited = field(default_factory=dict)

    @property
    def heir(self) -> Heir:
        return Heir(self.address, FileLocation(self.file, self.line), self.inherited)


@dataclass(frozen=True, slots=True)
class ValidatedFile:
    """`shared` are findings whose values come from defaults files."""

    documents: tuple[ValidatedDocument, ...]
    diagnostics: tuple[Diagnostic, ...]
    shared: tuple[SharedFinding, ...] = ()


def validate_file(file: WebhookFile, defaults: DefaultsChain = NO_DEFAULTS) -> ValidatedFile:
    """Decodes, parses and checks a file with any content. `defaults` are those of the folder of the file."""
    text = decode_source(file.data)
    if isinstance(text, SourceFinding):
        return ValidatedFile((), (_diagnostic(file.name, text, text.position, None, None),))
    parsed = parse_yaml(text.text)
    own = [(index, document) for index, document in enumerate(parsed.documents) if document.value is not None]
    written = own if defaults is NO_DEFAULTS else [(index, _filled_in(document, defaults)) for index, document in own]
    if not written and not parsed.findings:
        hint = "write a webhook into it, or delete the file"
        empty = Diagnostic(code=error_codes.NO_DOCUMENT, file=file.name, summary="contains no webhook", hint=hint)
        return ValidatedFile((), (empty,))
    found, more = _validate_documents(written)
    documents = tuple(
        _validated(
            file.name, index, document, valid=index not in found and index not in more, origin=(one.value, defaults)
        )
        for (index, document), (_, one) in zip(written, own, strict=True)
    )
    if not (parsed.findings or found):
        return ValidatedFile(documents, ())
    shared: list[SharedFinding] = []
    if defaults is not NO_DEFAULTS:
        values = {index: document.value for index, document in own}
        shared = list(_take_shared(documents, found, values, defaults))
    positions = find_positions(text.text)
    diagnostics = [
        _diagnostic(file.name, finding, finding.position, text, positions.hidden)
        for finding in _limit(parsed.findings, MAX_DIAGNOSTICS_PER_CODE)
    ]
    limited = {index: _limit(findings, MAX_DIAGNOSTICS_PER_CODE) for index, findings in found.items()}
    diagnostics += _located(text, positions, documents, limited)
    if more:
        first = next(document for document in documents if document.index in more)
        summary = f"{len(more):,} more documents from here have errors"
        diagnostics.append(
            Diagnostic(
                code=error_codes.MORE_INVALID, file=file.name, line=first.line, column=1, summary=summary, hint=_MORE
            )
        )
    return ValidatedFile(documents, tuple(diagnostics), tuple(shared))


def _filled_in(document: YamlDocument, defaults: DefaultsChain) -> YamlDocument:
    if type(document.value) is not dict:
        return document
    return YamlDocument(document.line, defaults.merged(document.value), document.refused)


def _take_shared(
    documents: Iterable[ValidatedDocument],
    found: dict[int, list[RuleFinding]],
    own: Mapping[int, Any],
    defaults: DefaultsChain,
) -> Iterator[SharedFinding]:
    """Takes the findings whose values come from a defaults file out of `found`, and locates them there."""
    for document in documents:
        kept = []
        for finding in found.get(document.index, ()):
            value = own[document.index]
            file = defaults.origin(value, finding.path) if type(value) is dict else None
            if file is None:
                kept.append(finding)
                continue
            at = replace(finding, path=defaults.path_in(file, finding.path))
            yield SharedFinding(file.diagnostic(at), document.heir)
        if document.index in found:
            found[document.index] = kept


_MORE = "correct the errors above, then validate again"


def _validate_documents(
    written: Iterable[tuple[int, YamlDocument]],
) -> tuple[dict[int, list[RuleFinding]], frozenset[int]]:
    """The findings by the index of their document, and the indexes of further documents with errors."""
    found: dict[int, list[RuleFinding]] = {}
    more = []
    for index, document in written:
        if len(found) < MAX_EXPLAINED_DOCUMENTS:
            if findings := _validate_document(document):
                found[index] = findings
        elif not webhook_validator()(document.value) or check_rules(document.value):
            more.append(index)
    return found, frozenset(more)


_Finding = TypeVar("_Finding", SourceFinding, RuleFinding)


def _limit(findings: Sequence[_Finding], maximum: int) -> list[_Finding]:
    """The first findings of each code. The last one of a long list is replaced by the number of the others."""
    return [finding for _, finding in _limit_pairs([(0, finding) for finding in findings], maximum)]


def _limit_pairs(pairs: Sequence[tuple[int, _Finding]], maximum: int) -> list[tuple[int, _Finding]]:
    """Like `_limit`, for pairs of the index of a document and a finding of it."""
    counts = Counter(finding.code for _, finding in pairs)
    numbers: Counter[str] = Counter()
    kept = []
    for index, finding in pairs:
        code = finding.code
        numbers[code] += 1
        if numbers[code] < maximum or counts[code] == maximum:
            kept.append((index, finding))
        elif numbers[code] == maximum:
            more = counts[code] - maximum + 1
            kept.append((index, replace(finding, summary=f"{more:,} more from here: {error_codes.TITLES[code]}")))
    return kept


def locate_findings(
    text: SourceText, documents: Iterable[ValidatedDocument], found: Mapping[int, Sequence[RuleFinding]]
) -> list[Diagnostic]:
    """Returns findings of one file, by the index of their document, with their positions in its text.

    Only a file with findings is parsed a second time. If the file changed after it was parsed, a document may be
    missing; its findings then have no position.
    """
    return _located(text, find_positions(text.text), documents, found) if found else []


def _located(
    text: SourceText,
    positions: TextPositions,
    documents: Iterable[ValidatedDocument],
    found: Mapping[int, Sequence[RuleFinding]],
) -> list[Diagnostic]:
    by_index = {document.index: document for document in documents}
    pairs = [(index, finding) for index in by_index for finding in found.get(index, ())]
    diagnostics = []
    for index, finding in _limit_pairs(pairs, MAX_DIAGNOSTICS_PER_CODE_AND_FILE):
        document = by_index[index]
        known = positions.documents[index] if index < len(positions.documents) else None
        position = None if known is None else known.of(finding.path, on_key=finding.on_key)
        address = str(document.address) if document.address else None
        located = _diagnostic(document.file, finding, position, text, positions.hidden)
        diagnostics.append(replace(located, address=address))
    return diagnostics


def _validated(
    file: str, index: int, document: YamlDocument, *, valid: bool, origin: tuple[Any, DefaultsChain]
) -> ValidatedDocument:
    """The parts of a document with its defaults. `origin` is its own value, and its defaults.

    It has no canonical form if a default of it is invalid.
    """
    value = document.value
    own, defaults = origin
    inherited: Inherited = {}
    if defaults is not NO_DEFAULTS and type(own) is dict:
        inherited = defaults.inherited(own)
        valid = valid and not defaults.is_unknown(own)
    return ValidatedDocument(
        file=file,
        index=index,
        line=document.line,
        address=address_of(value),
        sandbox_id=text_at(value, "sandbox", "id"),
        canonical=canonical_text(canonical_document(value)) if valid and not document.refused else None,
        moved_from=earlier_address(value),
        inherited=inherited,
    )


def _validate_document(document: YamlDocument) -> list[RuleFinding]:
    """The findings of one document. Values that the parser refused have no further findings."""
    return [finding for finding in check_document(document.value) if not _is_refused(finding, document.refused)]


def check_document(value: Any) -> list[RuleFinding]:
    """Returns the findings of the schema and, for the version of this release, those of the rules."""
    findings: list[RuleFinding] = []
    if not webhook_validator()(value):
        from hookline.config.schema import schema_validator  # noqa: PLC0415 - a valid document needs no schema library

        findings = schema_validator.check_schema(value)
    if not any(finding.code == error_codes.OTHER_VERSION for finding in findings):
        broken = check_rules(value)
        # The schema refuses some of these characters too, for editors. The rule names the character, so its finding
        # replaces the one of the schema. A finding of another rule for the same name is enough without it.
        named = {one.path for one in broken if one.code == error_codes.INVISIBLE_IN_NAME}
        findings = [one for one in findings if one.code != error_codes.WRONG_FORM or one.path not in named]
        findings += broken
        malformed = {finding.path for finding in findings if finding.code != error_codes.INVISIBLE_IN_NAME}
        return [one for one in findings if one.code != error_codes.INVISIBLE_IN_NAME or one.path not in malformed]
    return findings


def _is_refused(finding: RuleFinding, refused: frozenset[DocumentPath]) -> bool:
    if not refused:
        return False
    if finding.code == error_codes.MISSING_KEY and (*finding.path, "<<") in refused:
        return True  # the merge key may have supplied it
    return any(finding.path[:length] in refused for length in range(len(finding.path) + 1))


def _diagnostic(
    file: str,
    finding: SourceFinding | RuleFinding,
    position: SourcePosition | None,
    text: SourceText | None,
    hidden: HiddenText | None,
) -> Diagnostic:
    """A finding in a file. Without `text`, it has no excerpt, and `hidden` has the parts that are not shown."""
    return Diagnostic(
        code=finding.code,
        file=file,
        line=position.line if position else None,
        column=position.column if position else None,
        summary=finding.summary,
        hint=finding.hint,
        excerpt=text.excerpt(position.line, position.column, hidden) if position and text and hidden else None,
    )
