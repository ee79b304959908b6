"""One file, judged on its own: a function of its bytes, so that any number of files can be judged side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hookline.config import error_codes
from hookline.config.discovery import File
from hookline.config.document_access import DocumentPath, RuleFinding, address_of, quote, text_at
from hookline.config.fast_validator import webhook_validator
from hookline.config.rules import all_rules
from hookline.config.source_text import SourceText, decode_source
from hookline.config.yaml_parser import PositionMap, Refusal, YamlDocument, parse_yaml, positions
from hookline.diagnostics import Diagnostic

# In one document; syntax and the like: in one file.
MAX_DIAGNOSTICS_PER_CODE = 20


@dataclass(frozen=True, slots=True)
class ValidatedDocument:
    """What other documents and the plan need of one. `value` is None where something is wrong with it.

    `index` counts the documents of the file, `line` (from 1) is where it begins.
    """

    file: str
    index: int
    line: int
    address: tuple[str, str] | None
    sandbox_id: str | None
    value: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ValidatedFile:
    """The documents of one file, and what is wrong with it."""

    documents: tuple[ValidatedDocument, ...]
    diagnostics: tuple[Diagnostic, ...]


def validate_file(file: File) -> ValidatedFile:
    """Decode, parse and check a file, whatever is in it."""
    text = decode_source(file.data)
    if isinstance(text, Refusal):
        return ValidatedFile((), (_refusal(file.name, text),))
    parsed = parse_yaml(text.text)
    held = [(index, document) for index, document in enumerate(parsed.documents) if document.value is not None]
    if not held and not parsed.refusals:
        hint = "write a webhook into it, or delete the file"
        return ValidatedFile(
            (), (Diagnostic(code=error_codes.NO_DOCUMENT, file=file.name, summary="holds no webhook", hint=hint),)
        )
    found = {index: findings for index, document in held if (findings := _judge(document))}
    documents = tuple(_judged(file.name, index, document, right=index not in found) for index, document in held)
    diagnostics = [_refusal(file.name, refusal, text) for refusal in _first(parsed.refusals)]
    diagnostics += place_findings(text, documents, {index: _first(findings) for index, findings in found.items()})
    return ValidatedFile(documents, tuple(diagnostics))


_Found = TypeVar("_Found", Refusal, RuleFinding)


def _first(found: Sequence[_Found]) -> list[_Found]:
    """Of each code some, and then how many more: nobody reads 50,000 of them, nor does a pull request hold them."""
    counts = Counter(each.code for each in found)
    seen: Counter[str] = Counter()
    kept = []
    for each in found:
        seen[each.code] += 1
        if seen[each.code] < MAX_DIAGNOSTICS_PER_CODE or counts[each.code] == MAX_DIAGNOSTICS_PER_CODE:
            kept.append(each)
        elif seen[each.code] == MAX_DIAGNOSTICS_PER_CODE:
            more = counts[each.code] - MAX_DIAGNOSTICS_PER_CODE + 1
            summary = f"from here on {more} more of the same kind: {error_codes.TITLES[each.code]}"
            kept.append(replace(each, summary=summary))
    return kept


def place_findings(
    text: SourceText, documents: Iterable[ValidatedDocument], found: Mapping[int, Sequence[RuleFinding]]
) -> list[Diagnostic]:
    """Findings about documents of one file, by their index in it, with their places in its text.

    Only a file with findings is read this second time. A document that is not there any more (the file has changed
    meanwhile) leaves its findings without a place.
    """
    maps = positions(text.text) if found else []
    return [
        _placed(text, document, maps[document.index] if document.index < len(maps) else None, finding)
        for document in documents
        for finding in found.get(document.index, ())
    ]


def _placed(
    text: SourceText, document: ValidatedDocument, where: PositionMap | None, finding: RuleFinding
) -> Diagnostic:
    place = None if where is None else where.of(finding.path, on_key=finding.on_key)
    return Diagnostic(
        code=finding.code,
        file=document.file,
        line=place.line if place else None,
        column=place.column if place else None,
        address="/".join(document.address) if document.address else None,
        summary=finding.summary,
        hint=finding.hint,
        excerpt=text.excerpt(place.line, place.column) if place else None,
    )


def _judged(file: str, index: int, document: YamlDocument, *, right: bool) -> ValidatedDocument:
    value = document.value
    return ValidatedDocument(
        file=file,
        index=index,
        line=document.line,
        address=address_of(value),
        sandbox_id=text_at(value, "sandbox", "id"),
        value=value if right and not document.refused else None,
    )


def _judge(document: YamlDocument) -> list[RuleFinding]:
    """The findings about one document, without those about values that were refused already."""
    value = document.value
    findings = [] if webhook_validator()(value) else _against_schema(value)
    if not any(finding.code == error_codes.OTHER_VERSION for finding in findings):
        findings += all_rules.check_rules(value)
    return [finding for finding in findings if not _is_refused(finding, document.refused)]


def _against_schema(value: Any) -> list[RuleFinding]:
    from hookline.config import schema_validator  # noqa: PLC0415 - the schema library is only needed for its words

    return schema_validator.check_schema(value)


def _is_refused(finding: RuleFinding, refused: frozenset[DocumentPath]) -> bool:
    if not refused:
        return False
    if finding.code == error_codes.MISSING_KEY and (*finding.path, "<<") in refused:
        return True  # the merge key may have supplied it
    return any(finding.path[:length] in refused for length in range(len(finding.path) + 1))


def _refusal(file: str, refusal: Refusal, text: SourceText | None = None) -> Diagnostic:
    return Diagnostic(
        code=refusal.code,
        file=file,
        line=refusal.place.line,
        column=refusal.place.column,
        summary=refusal.summary,
        hint=refusal.hint,
        excerpt=text.excerpt(refusal.place.line, refusal.place.column) if text else None,
    )


# What only several documents together can get wrong.
def check_across_documents(documents: Iterable[ValidatedDocument]) -> Iterator[tuple[int, RuleFinding]]:
    """Findings with the index of their document: of two that cannot stand together, the second."""
    by_address: dict[tuple[str, str], ValidatedDocument] = {}
    by_id: dict[tuple[str, str], ValidatedDocument] = {}
    for index, document in enumerate(documents):
        if document.address is None:
            continue
        organization, sandbox = document.address
        first = by_address.setdefault(document.address, document)
        if first is not document:
            yield index, _second_webhook(f"{organization}/{sandbox}", first)
            continue
        if document.sandbox_id is None:
            continue
        other = by_id.setdefault((organization, document.sandbox_id), document)
        if other is not document:
            yield index, _shared_id(document.sandbox_id, other)


def _second_webhook(address: str, first: ValidatedDocument) -> RuleFinding:
    summary = f"sandbox: {address} has a webhook already, in {first.file}:{first.line}"
    hint = "one organization and sandbox has exactly one webhook: merge the two, or correct organization or sandbox"
    return RuleFinding(code=error_codes.SECOND_WEBHOOK, path=("sandbox",), summary=summary, hint=hint)


def _shared_id(identifier: str, other: ValidatedDocument) -> RuleFinding:
    sandbox = other.address[1] if other.address else ""
    summary = f"sandbox.id: {quote(identifier)} is the id of sandbox {sandbox} too, in {other.file}:{other.line}"
    hint = "events that carry only the id could not be routed: correct one of the two"
    return RuleFinding(code=error_codes.SHARED_SANDBOX_ID, path=("sandbox", "id"), summary=summary, hint=hint)
