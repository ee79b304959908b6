"""Webhook files to Desired: read all of them, find everything that is wrong, and only then take their word."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.canonical import read_webhook
from hookline.config import crossing
from hookline.config.files import File, Found, find_files, read_file
from hookline.config.finding import Finding
from hookline.config.judging import JudgedDocument, place_findings
from hookline.config.place import Refusal
from hookline.config.reading import read_and_judge
from hookline.config.text import Text, decode
from hookline.diagnostics import Diagnostic, did_you_mean, in_order, nearest
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.model import Address, Declared, Desired, Source


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was looked at and what was found. `desired` holds the webhooks that nothing is wrong with."""

    desired: Desired
    diagnostics: tuple[Diagnostic, ...]
    files: int
    documents: int


def load(directory: Path, paths: Sequence[Path] = (), *, targets: Collection[Address] = ()) -> Desired:
    """The webhooks of a configuration directory, narrowed to `paths` (files or directories) and to `targets`.

    A directory that does not exist holds none: planning decides the consequence. With targets every file is read, and
    findings that are known to concern another webhook are left out. Raises InvalidConfiguration with every finding of
    every file, and WrongUse for a path or a target that does not exist.
    """
    inspection = inspect(directory, paths)
    concerning = inspection.diagnostics
    if targets:
        wanted = {None, *map(str, targets)}
        concerning = tuple(found for found in concerning if found.address in wanted)
    if concerning:
        raise InvalidConfiguration(concerning)
    return _narrowed(inspection.desired, targets) if targets else inspection.desired


def _narrowed(desired: Desired, targets: Collection[Address]) -> Desired:
    declared = desired.webhooks
    missing = next((target for target in targets if target not in declared), None)
    if missing is not None:
        known = [str(address) for address in declared]
        others = f"there are: {', '.join(known[:5])}" if known else "the configuration directory holds no webhook"
        near = nearest(str(missing), known, likeness=0.75)
        raise WrongUse(f"no webhook file is for {missing}", hint=did_you_mean(near, others))
    return Desired({address: declared[address] for address in sorted(set(targets))}, narrowed=True)


def inspect(directory: Path, paths: Sequence[Path] = ()) -> Inspection:
    """Like `load`, with the findings as a value. Raises only WrongUse, and HooklineError when a worker dies."""
    entries = find_files(directory, paths)
    found = [entry for entry in entries if isinstance(entry, Found)]
    diagnostics = [entry for entry in entries if isinstance(entry, Diagnostic)]
    documents: list[JudgedDocument] = []
    for judged in read_and_judge(found):
        documents.extend(judged.documents)
        diagnostics.extend(judged.diagnostics)
    crossed = _crossed(documents)
    diagnostics.extend(_placed(documents, crossed, found))
    desired = _desired(documents, crossed, narrowed=bool(paths))
    return Inspection(desired, in_order(diagnostics), len(entries), len(documents))


def _crossed(documents: Sequence[JudgedDocument]) -> Mapping[int, list[Finding]]:
    """What is wrong between documents, by the index of the document that it is told about."""
    found: dict[int, list[Finding]] = {}
    for index, finding in crossing.check(documents):
        found.setdefault(index, []).append(finding)
    return found


def _placed(
    documents: Sequence[JudgedDocument], crossed: Mapping[int, list[Finding]], found: Iterable[Found]
) -> Iterator[Diagnostic]:
    """The files concerned are read again: nobody has kept the text of all of them."""
    by_file: dict[str, list[int]] = {}
    for index in crossed:
        by_file.setdefault(documents[index].file, []).append(index)
    for file in found:
        if indexes := by_file.get(file.name):
            concerned = [documents[index] for index in indexes]
            findings = {documents[index].index: crossed[index] for index in indexes}
            yield from place_findings(_text_of(file), concerned, findings)


def _text_of(found: Found) -> Text:
    file = read_file(found)
    text = decode(file.data) if isinstance(file, File) else None
    return Text("") if text is None or isinstance(text, Refusal) else text


def _desired(documents: Iterable[JudgedDocument], wrong: Collection[int], *, narrowed: bool) -> Desired:
    webhooks: dict[Address, Declared] = {}
    for index, document in enumerate(documents):
        if document.value is None or index in wrong:
            continue
        webhook = read_webhook(document.value)
        webhooks[webhook.address] = Declared(webhook, Source(document.file, document.line))
    return Desired({address: webhooks[address] for address in sorted(webhooks)}, narrowed)
