"""One file, judged on its own: a function of its bytes, so that any number of files can be judged side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from hookline.config import error_codes
from hookline.config.discovery import File
from hookline.config.document_access import Finding, Path, address_of, shown, text_at
from hookline.config.fast_validator import webhook_verdict
from hookline.config.rules import all_rules
from hookline.config.source_text import Text, decode
from hookline.config.yaml_parser import Document, PlaceMap, Refusal, parse, places
from hookline.diagnostics import Diagnostic

# In one document; syntax and the like: in one file.
MOST_OF_A_CODE = 20


@dataclass(frozen=True, slots=True)
class JudgedDocument:
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
class Judged:
    """The documents of one file, and what is wrong with it."""

    documents: tuple[JudgedDocument, ...]
    diagnostics: tuple[Diagnostic, ...]


def judge_file(file: File) -> Judged:
    """Decode, parse and check a file, whatever is in it."""
    text = decode(file.data)
    if isinstance(text, Refusal):
        return Judged((), (_refusal(file.name, text),))
    parsed = parse(text.text)
    held = [(index, document) for index, document in enumerate(parsed.documents) if document.value is not None]
    if not held and not parsed.refusals:
        hint = "write a webhook into it, or delete the file"
        return Judged(
            (), (Diagnostic(code=error_codes.NO_DOCUMENT, file=file.name, summary="holds no webhook", hint=hint),)
        )
    found = {index: findings for index, document in held if (findings := _judge(document))}
    documents = tuple(_judged(file.name, index, document, right=index not in found) for index, document in held)
    diagnostics = [_refusal(file.name, refusal, text) for refusal in _first(parsed.refusals)]
    diagnostics += place_findings(text, documents, {index: _first(findings) for index, findings in found.items()})
    return Judged(documents, tuple(diagnostics))


_Found = TypeVar("_Found", Refusal, Finding)


def _first(found: Sequence[_Found]) -> list[_Found]:
    """Of each code some, and then how many more: nobody reads 50,000 of them, nor does a pull request hold them."""
    counts = Counter(each.code for each in found)
    seen: Counter[str] = Counter()
    kept = []
    for each in found:
        seen[each.code] += 1
        if seen[each.code] < MOST_OF_A_CODE or counts[each.code] == MOST_OF_A_CODE:
            kept.append(each)
        elif seen[each.code] == MOST_OF_A_CODE:
            more = counts[each.code] - MOST_OF_A_CODE + 1
            summary = f"from here on {more} more of the same kind: {error_codes.TITLES[each.code]}"
            kept.append(replace(each, summary=summary))
    return kept


def place_findings(
    text: Text, documents: Iterable[JudgedDocument], found: Mapping[int, Sequence[Finding]]
) -> list[Diagnostic]:
    """Findings about documents of one file, by their index in it, with their places in its text.

    Only a file with findings is read this second time. A document that is not there any more (the file has changed
    meanwhile) leaves its findings without a place.
    """
    maps = places(text.text) if found else []
    return [
        _placed(text, document, maps[document.index] if document.index < len(maps) else None, finding)
        for document in documents
        for finding in found.get(document.index, ())
    ]


def _placed(text: Text, document: JudgedDocument, where: PlaceMap | None, finding: Finding) -> Diagnostic:
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


def _judged(file: str, index: int, document: Document, *, right: bool) -> JudgedDocument:
    value = document.value
    return JudgedDocument(
        file=file,
        index=index,
        line=document.line,
        address=address_of(value),
        sandbox_id=text_at(value, "sandbox", "id"),
        value=value if right and not document.refused else None,
    )


def _judge(document: Document) -> list[Finding]:
    """The findings about one document, without those about values that were refused already."""
    value = document.value
    findings = [] if webhook_verdict()(value) else _against_schema(value)
    if not any(finding.code == error_codes.OTHER_VERSION for finding in findings):
        findings += all_rules.check(value)
    return [finding for finding in findings if not _is_refused(finding, document.refused)]


def _against_schema(value: Any) -> list[Finding]:
    from hookline.config import schema_validator  # noqa: PLC0415 - the schema library is only needed for its words

    return schema_validator.check(value)


def _is_refused(finding: Finding, refused: frozenset[Path]) -> bool:
    if not refused:
        return False
    if finding.code == error_codes.MISSING_KEY and (*finding.path, "<<") in refused:
        return True  # the merge key may have supplied it
    return any(finding.path[:length] in refused for length in range(len(finding.path) + 1))


def _refusal(file: str, refusal: Refusal, text: Text | None = None) -> Diagnostic:
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
def check(documents: Iterable[JudgedDocument]) -> Iterator[tuple[int, Finding]]:
    """Findings with the index of their document: of two that cannot stand together, the second."""
    by_address: dict[tuple[str, str], JudgedDocument] = {}
    by_id: dict[tuple[str, str], JudgedDocument] = {}
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


def _second_webhook(address: str, first: JudgedDocument) -> Finding:
    summary = f"sandbox: {address} has a webhook already, in {first.file}:{first.line}"
    hint = "one organization and sandbox has exactly one webhook: merge the two, or correct organization or sandbox"
    return Finding(code=error_codes.SECOND_WEBHOOK, path=("sandbox",), summary=summary, hint=hint)


def _shared_id(identifier: str, other: JudgedDocument) -> Finding:
    sandbox = other.address[1] if other.address else ""
    summary = f"sandbox.id: {shown(identifier)} is the id of sandbox {sandbox} too, in {other.file}:{other.line}"
    hint = "events that carry only the id could not be routed: correct one of the two"
    return Finding(code=error_codes.SHARED_SANDBOX_ID, path=("sandbox", "id"), summary=summary, hint=hint)
