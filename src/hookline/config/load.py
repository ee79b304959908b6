"""Webhook files to Desired: read all of them, find everything that is wrong, and only then take their word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.canonical import read_webhook
from hookline.config import checks, codes, crossing, schema
from hookline.config.documents import parse, places
from hookline.config.files import File, read_files
from hookline.config.finding import Finding
from hookline.config.place import Document, Place, Refusal
from hookline.config.shape import address_of
from hookline.config.text import Text, decode
from hookline.diagnostics import Diagnostic, in_order
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.model import Address, Declared, Desired, Source


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was looked at and what was found. `desired` holds the webhooks that nothing is wrong with."""

    desired: Desired
    diagnostics: tuple[Diagnostic, ...]
    files: int
    documents: int


@dataclass(frozen=True, slots=True)
class _Read:
    """One document of one file, `index` among the file's documents."""

    file: str
    text: Text
    index: int
    document: Document

    @property
    def address(self) -> str | None:
        address = address_of(self.document.value)
        return None if address is None else f"{address[0]}/{address[1]}"


def load(directory: Path, paths: Sequence[Path] = (), *, target: Address | None = None) -> Desired:
    """What the files of a configuration directory say; `paths` (files or directories) and `target` narrow that.

    A directory that does not exist says nothing: planning decides what that means. Raises InvalidConfiguration with
    every finding of every file, and WrongUse for a path or a target that is not there.
    """
    inspection = inspect(directory, paths, target=target)
    if inspection.diagnostics:
        raise InvalidConfiguration(inspection.diagnostics)
    return inspection.desired


def inspect(directory: Path, paths: Sequence[Path] = (), *, target: Address | None = None) -> Inspection:
    """Like `load`, with the findings as a value. Raises only WrongUse.

    With a `target` every file is read, and what is known to concern another webhook is left out.
    """
    entries = list(read_files(directory, paths))
    diagnostics = [entry for entry in entries if isinstance(entry, Diagnostic)]
    documents: list[_Read] = []
    for file in (entry for entry in entries if isinstance(entry, File)):
        refused = _read_file(file, documents)
        diagnostics.extend(refused)
    findings = _judge(documents)
    diagnostics.extend(_placed(documents, findings))
    desired = _desired(documents, findings, target, narrowed=bool(paths) or target is not None)
    if target is not None:
        diagnostics = [found for found in diagnostics if found.address in (None, str(target))]
        if not diagnostics and target not in desired.webhooks:
            raise WrongUse(f"no webhook file is for {target}", hint=_nearest(target, documents))
    return Inspection(desired, in_order(diagnostics), len(entries), len(documents))


def _read_file(file: File, documents: list[_Read]) -> list[Diagnostic]:
    """Append the file's documents; return what is refused in it."""
    text = decode(file.data)
    if isinstance(text, Refusal):
        return [_refusal(file.name, text)]
    parsed = parse(text.text)
    held = [(index, document) for index, document in enumerate(parsed.documents) if document.value is not None]
    documents.extend(_Read(file.name, text, index, document) for index, document in held)
    refused = [_refusal(file.name, refusal, text) for refusal in parsed.refusals]
    if not held and not refused:
        hint = "write a webhook into it, or delete the file"
        refused.append(Diagnostic(code=codes.NO_DOCUMENT, file=file.name, summary="holds no webhook", hint=hint))
    return refused


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


def _judge(documents: Sequence[_Read]) -> Mapping[int, list[Finding]]:
    """Findings by the index of their document, without those about values that were refused already."""
    found: dict[int, list[Finding]] = {}
    for index, read in enumerate(documents):
        value, refused = read.document.value, read.document.refused
        judged = schema.check(value)
        if not any(finding.code == codes.OTHER_VERSION for finding in judged):
            judged += checks.check(value)
        found[index] = [finding for finding in judged if not _is_refused(finding, refused)]
    sources = [crossing.Written(read.document.value, Source(read.file, read.document.line)) for read in documents]
    for index, finding in crossing.check(sources):
        found[index].append(finding)
    return {index: findings for index, findings in found.items() if findings}


def _is_refused(finding: Finding, refused: frozenset[tuple[str | int, ...]]) -> bool:
    if not refused:
        return False
    if finding.code == codes.MISSING_KEY and (*finding.path, "<<") in refused:
        return True  # the merge key may have supplied it
    return any(finding.path[:length] in refused for length in range(len(finding.path) + 1))


def _placed(documents: Sequence[_Read], findings: Mapping[int, list[Finding]]) -> Iterator[Diagnostic]:
    """Where the findings stand: only files that have some are read a second time."""
    maps = {text.text: places(text.text) for text in {documents[index].text for index in findings}}
    for index, of_document in findings.items():
        read = documents[index]
        where = maps[read.text.text][read.index]
        for finding in of_document:
            place: Place = where.of(finding.path, on_key=finding.on_key)
            yield Diagnostic(
                code=finding.code,
                file=read.file,
                line=place.line,
                column=place.column,
                address=read.address,
                summary=finding.summary,
                hint=finding.hint,
                excerpt=read.text.excerpt(place.line, place.column),
            )


def _desired(
    documents: Sequence[_Read], findings: Mapping[int, list[Finding]], target: Address | None, *, narrowed: bool
) -> Desired:
    webhooks: dict[Address, Declared] = {}
    for index, read in enumerate(documents):
        if index in findings or read.document.refused:
            continue
        webhook = read_webhook(read.document.value)
        if target is None or webhook.address == target:
            webhooks[webhook.address] = Declared(webhook, Source(read.file, read.document.line))
    return Desired({address: webhooks[address] for address in sorted(webhooks)}, narrowed)


def _nearest(target: Address, documents: Sequence[_Read]) -> str:
    known = sorted({read.address for read in documents if read.address})
    alike = [address for address in known if address.lower() == str(target).lower()] or known[:5]
    return f"there are: {', '.join(alike)}" if alike else "the configuration directory holds no webhook"
