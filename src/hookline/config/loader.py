"""Webhook files to Desired: read all of them, find everything that is wrong, and only then take their word."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.canonical import read_webhook
from hookline.config import file_validator
from hookline.config.discovery import File, Found, find_files, read_file
from hookline.config.document_access import RuleFinding
from hookline.config.file_validator import ValidatedDocument, ValidatedFile, place_findings, validate_file
from hookline.config.source_text import SourceText, decode_source
from hookline.config.yaml_parser import Refusal
from hookline.diagnostics import Diagnostic, did_you_mean, nearest, sorted_diagnostics
from hookline.errors import HooklineError, InvalidConfiguration, WrongUse
from hookline.model import Address, Declared, Desired, Source

# Many files, read and judged: in this process, or on every core when there are enough of them.
#
# A worker is handed names and hands back what `judging` found, in the order of the names, so that nothing a user sees
# depends on how the work was shared. Files are read by the workers: this process never holds their bytes.
# Below this the pool costs more than it saves: starting it takes as long as judging some hundred files.
MIN_FILES_FOR_POOL = 500
_MOST_WORKERS = 8
_CHUNK = 50


def validate_files(found: Sequence[Found]) -> Iterator[ValidatedFile]:
    """One `ValidatedFile` for each file, in their order, from as many processes as `worker_count` allows."""
    workers = worker_count(len(found))
    if workers < 2:
        yield from map(_read_and_judge, found)
        return
    chunks = [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)]
    yield from _on_every_core(chunks, workers)


def worker_count(files: int) -> int:
    """How many processes are worth it; 1 is this one alone.

    A fork copies one thread: with others about, locks of theirs could stay held in the copy for ever.
    """
    if files < MIN_FILES_FOR_POOL or not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def _on_every_core(chunks: Sequence[Sequence[Found]], workers: int) -> Iterator[ValidatedFile]:
    # Forked, not spawned: what is imported already is shared, and a worker starts in milliseconds.
    from concurrent.futures.process import (  # noqa: PLC0415 - only where a pool is worth it
        BrokenProcessPool,
        ProcessPoolExecutor,
    )
    from multiprocessing import get_context  # noqa: PLC0415

    pool = ProcessPoolExecutor(workers, mp_context=get_context("fork"), initializer=_ignore_interrupts)
    try:
        for judged in pool.map(_read_and_judge_all, chunks):
            yield from judged
    except BrokenProcessPool as broken:
        hint = "look for a lack of memory, then run it again"
        raise HooklineError("a process that was reading webhook files has died", hint=hint) from broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal: the first one stops the others, without their tracebacks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_and_judge_all(found: Sequence[Found]) -> list[ValidatedFile]:
    return [_read_and_judge(each) for each in found]


def _read_and_judge(found: Found) -> ValidatedFile:
    file = read_file(found)
    return ValidatedFile((), (file,)) if isinstance(file, Diagnostic) else validate_file(file)


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
    documents: list[ValidatedDocument] = []
    for judged in validate_files(found):
        documents.extend(judged.documents)
        diagnostics.extend(judged.diagnostics)
    crossed = _crossed(documents)
    diagnostics.extend(_placed(documents, crossed, found))
    desired = _desired(documents, crossed, narrowed=bool(paths))
    return Inspection(desired, sorted_diagnostics(diagnostics), len(entries), len(documents))


def _crossed(documents: Sequence[ValidatedDocument]) -> Mapping[int, list[RuleFinding]]:
    """What is wrong between documents, by the index of the document that it is told about."""
    found: dict[int, list[RuleFinding]] = {}
    for index, finding in file_validator.check_across_documents(documents):
        found.setdefault(index, []).append(finding)
    return found


def _placed(
    documents: Sequence[ValidatedDocument], crossed: Mapping[int, list[RuleFinding]], found: Iterable[Found]
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


def _text_of(found: Found) -> SourceText:
    file = read_file(found)
    text = decode_source(file.data) if isinstance(file, File) else None
    return SourceText("") if text is None or isinstance(text, Refusal) else text


def _desired(documents: Iterable[ValidatedDocument], wrong: Collection[int], *, narrowed: bool) -> Desired:
    webhooks: dict[Address, Declared] = {}
    for index, document in enumerate(documents):
        if document.value is None or index in wrong:
            continue
        webhook = read_webhook(document.value)
        webhooks[webhook.address] = Declared(webhook, Source(document.file, document.line))
    return Desired({address: webhooks[address] for address in sorted(webhooks)}, narrowed)
