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


def load(directory: Path, paths: Sequence[Path] = (), *, target: Address | None = None) -> Desired:
    """What the files of a configuration directory say; `paths` (files or directories) and `target` narrow that.

    A directory that does not exist says nothing: planning decides what that means. Raises InvalidConfiguration with
    every finding of every file, and WrongUse for a path or a target that is not there.
    """
    inspection = inspect(directory, paths, target=target)
    if inspection.diagnostics:
        raise InvalidConfiguration(inspection.diagnostics)
    return inspection.desired


def inspect(
    directory: Path, paths: Sequence[Path] = (), *, target: Address | None = None, workers: int | None = None
) -> Inspection:
    """Like `load`, with the findings as a value. Raises only WrongUse, and HooklineError when a worker dies.

    With a `target` every file is read, and what is known to concern another webhook is left out. `workers` is the
    number of processes; None decides by the number of files.
    """
    entries = find_files(directory, paths)
    found = [entry for entry in entries if isinstance(entry, Found)]
    diagnostics = [entry for entry in entries if isinstance(entry, Diagnostic)]
    documents: list[JudgedDocument] = []
    for judged in read_and_judge(found, workers=workers):
        documents.extend(judged.documents)
        diagnostics.extend(judged.diagnostics)
    crossed = _crossed(documents)
    diagnostics.extend(_placed(documents, crossed, found))
    desired = _desired(documents, crossed, target, narrowed=bool(paths) or target is not None)
    if target is not None:
        diagnostics = [one for one in diagnostics if one.address in (None, str(target))]
        if not diagnostics and target not in desired.webhooks:
            raise WrongUse(f"no webhook file is for {target}", hint=_nearest(target, documents))
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


def _desired(
    documents: Iterable[JudgedDocument], wrong: Collection[int], target: Address | None, *, narrowed: bool
) -> Desired:
    webhooks: dict[Address, Declared] = {}
    for index, document in enumerate(documents):
        if document.value is None or index in wrong:
            continue
        webhook = read_webhook(document.value)
        if target is None or webhook.address == target:
            webhooks[webhook.address] = Declared(webhook, Source(document.file, document.line))
    return Desired({address: webhooks[address] for address in sorted(webhooks)}, narrowed)


def _nearest(target: Address, documents: Sequence[JudgedDocument]) -> str:
    known = sorted({"/".join(document.address) for document in documents if document.address})
    alike = [address for address in known if address.lower() == str(target).lower()] or known[:5]
    return f"there are: {', '.join(alike)}" if alike else "the configuration directory holds no webhook"
