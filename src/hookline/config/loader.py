"""Reads and validates all webhook files of a configuration directory, and returns Desired.

Many files are validated by several processes. A process receives file names and returns the results in the order of
the names, so the output does not depend on how the work was divided. The processes read the files themselves: the
parent never holds their bytes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hookline.config.conflicts import check_across_documents
from hookline.config.defaults.defaults_chain import DefaultsTree
from hookline.config.defaults.shared_findings import SharedFinding, report_shared
from hookline.config.discovery import FilePath, LeftOut, WebhookFile, read_file
from hookline.config.document_access import RuleFinding
from hookline.config.file_validator import ValidatedDocument, ValidatedFile, locate_findings, validate_file
from hookline.config.found_files import find_files, no_files_error
from hookline.config.source_text import SourceFinding, SourceText, decode_source
from hookline.config.value_places import ValuePlaces
from hookline.diagnostics import Diagnostic, did_you_mean, nearest, sorted_diagnostics
from hookline.errors import HooklineError, InvalidConfiguration, WrongUse
from hookline.model import Address, Declared, Desired, FileLocation
from hookline.paths import is_directory

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

# Starting the pool takes as long as validating a hundred files.
MIN_FILES_FOR_POOL = 250
_MAX_WORKERS = 8
_CHUNK_FILES = 25


def validate_files(paths: Sequence[FilePath], defaults: DefaultsTree) -> Iterator[ValidatedFile]:
    """Returns one result per file, in order. Uses as many processes as `worker_count` returns."""
    workers = worker_count(len(paths))
    if workers > 1 and (pool := _pool(workers, defaults)) is not None:
        return _validate_in_pool(paths, pool)
    return map(partial(_read_and_validate, defaults), paths)


def worker_count(files: int) -> int:
    """The useful number of processes; 1 beside other threads, whose locks a fork would leave locked for ever."""
    if files < MIN_FILES_FOR_POOL or not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), _MAX_WORKERS)


# The defaults files, in a process of the pool. It has them from the fork; nothing is sent to it.
_inherited_defaults: DefaultsTree | None = None


def _begin_worker(defaults: DefaultsTree) -> None:
    """Ctrl-C reaches every process of a terminal. The parent stops the workers, which then print no traceback."""
    global _inherited_defaults  # noqa: PLW0603 - the memory of one process
    _inherited_defaults = defaults
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _pool(workers: int, defaults: DefaultsTree) -> ProcessPoolExecutor | None:
    """A pool of processes that run; None if the machine allows none.

    A container may have no writable /dev/shm for their semaphores, or a limit on processes.
    """
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - for many files
    from multiprocessing import get_context  # noqa: PLC0415

    # A forked worker shares the imported modules and starts in milliseconds; a spawned one does not.
    pool = None
    try:
        context = get_context("fork")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(defaults,))
        pool.submit(int)  # starts the processes
    except (OSError, ImportError, NotImplementedError):
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        return None
    return pool


def _validate_in_pool(paths: Sequence[FilePath], pool: ProcessPoolExecutor) -> Iterator[ValidatedFile]:
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - as above

    try:
        yield from pool.map(_validate_in_worker, paths, chunksize=_CHUNK_FILES)
    except BrokenProcessPool as broken:
        hint = "check the available memory, then run the command again"
        raise HooklineError("a process that read webhook files has died", hint=hint) from broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _validate_in_worker(path: FilePath) -> ValidatedFile:
    assert _inherited_defaults is not None
    return _read_and_validate(_inherited_defaults, path)


def _read_and_validate(defaults: DefaultsTree, path: FilePath) -> ValidatedFile:
    file = read_file(path)
    return (
        ValidatedFile((), (file,)) if isinstance(file, Diagnostic) else validate_file(file, defaults.chain_of(path))
    )


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of a validation. `desired` contains the webhooks without findings.

    `files` counts the files of webhooks, `defaults_files` those of their defaults.
    """

    desired: Desired
    diagnostics: tuple[Diagnostic, ...]
    files: int
    documents: int
    left_out: tuple[LeftOut, ...] = ()
    defaults_files: int = 0


def load(
    directory: Path,
    paths: Sequence[Path] = (),
    *,
    targets: Collection[Address] = (),
    on_left_out: Callable[[Sequence[LeftOut]], object] | None = None,
) -> Desired:
    """Returns the webhooks of a configuration directory, narrowed to `paths` (files or directories) and `targets`.

    A directory that does not exist has no webhooks; the plan decides the consequence. With targets, every file is
    read, but findings that concern only other webhooks are ignored. `on_left_out` receives everything below the
    directory or the paths that is not read.

    Raises:
        InvalidConfiguration: there are findings; it has all findings of all files.
        WrongUse: a path or a target does not exist, or a path contains no webhook file.
    """
    inspection = inspect(directory, paths, targets=targets)
    if on_left_out is not None:
        on_left_out(inspection.left_out)
    diagnostics = inspection.diagnostics
    if targets:
        wanted = {None, *map(str, targets)}
        diagnostics = tuple(diagnostic for diagnostic in diagnostics if diagnostic.address in wanted)
    if diagnostics:
        raise InvalidConfiguration(diagnostics)
    return _narrowed(inspection.desired, targets) if targets else inspection.desired


def _narrowed(desired: Desired, targets: Collection[Address]) -> Desired:
    declared = desired.webhooks
    missing = next((target for target in targets if target not in declared), None)
    if missing is not None:
        known = [str(address) for address in declared]
        others = f"known webhooks: {', '.join(known[:5])}" if known else "the configuration directory has no webhooks"
        near = nearest(str(missing), known, min_similarity=0.75)
        raise WrongUse(f"no webhook file declares {missing}", hint=did_you_mean(near, others))
    wanted = sorted(set(targets))
    moved_from = {address: desired.moved_from[address] for address in wanted if address in desired.moved_from}
    return Desired({address: declared[address] for address in wanted}, narrowed=True, moved_from=moved_from)


def inspect(directory: Path, paths: Sequence[Path] = (), *, targets: Collection[Address] = ()) -> Inspection:
    """Like `load`, but returns the findings. Raises WrongUse, and HooklineError if a worker process dies.

    Of the findings in defaults files, those that do not affect one of the `targets` are left out.
    """
    found = find_files(directory, paths)
    files = [entry for entry in found.webhooks if isinstance(entry, FilePath)]
    diagnostics = [entry for entry in found.webhooks if isinstance(entry, Diagnostic)]
    documents: list[ValidatedDocument] = []
    shared: list[SharedFinding] = []
    defaults = DefaultsTree(found)
    for validated in validate_files(files, defaults):
        documents.extend(validated.documents)
        diagnostics.extend(validated.diagnostics)
        shared.extend(validated.shared)
    if shared or any(file.findings for file in defaults.files):
        heirs = [document.heir for document in documents]
        diagnostics.extend(report_shared(defaults.files, heirs, shared, set(targets)))
    conflicts: defaultdict[int, list[RuleFinding]] = defaultdict(list)
    for index, finding in check_across_documents(documents):
        conflicts[index].append(finding)
    diagnostics.extend(_locate_conflicts(documents, conflicts, files))
    desired = _desired(documents, conflicts, ValuePlaces(files), narrowed=bool(paths))
    desired = replace(desired, misnamed=tuple(one.name for one in found.left_out if one.misnamed))
    return Inspection(
        desired,
        sorted_diagnostics(diagnostics),
        len(found.webhooks),
        len(documents),
        left_out=tuple(found.left_out),
        defaults_files=len(found.defaults),
    )


def require_files(directory: Path) -> None:
    """Raises WrongUse if the configuration directory does not exist or contains no webhook file."""
    found = find_files(directory, ())
    if not found.webhooks:
        problem = "contains no webhook file" if is_directory(directory) else "does not exist"
        raise no_files_error(f"the configuration directory {directory} {problem}", found.left_out)


def _locate_conflicts(
    documents: Sequence[ValidatedDocument], conflicts: Mapping[int, list[RuleFinding]], files: Iterable[FilePath]
) -> Iterator[Diagnostic]:
    """Reads the files with conflicts again, because their text was not kept."""
    by_file: dict[str, list[int]] = {}
    for index in conflicts:
        by_file.setdefault(documents[index].file, []).append(index)
    for file in files:
        if indexes := by_file.get(file.name):
            concerned = [documents[index] for index in indexes]
            findings = {documents[index].index: conflicts[index] for index in indexes}
            yield from locate_findings(_text_of(file), concerned, findings)


def _text_of(path: FilePath) -> SourceText:
    file = read_file(path)
    text = decode_source(file.data) if isinstance(file, WebhookFile) else None
    return SourceText("") if text is None or isinstance(text, SourceFinding) else text


def _desired(
    documents: Iterable[ValidatedDocument], invalid: Collection[int], places: ValuePlaces, *, narrowed: bool
) -> Desired:
    webhooks: dict[Address, Declared] = {}
    moved_from: dict[Address, Address] = {}
    for index, document in enumerate(documents):
        if document.canonical is None or document.address is None or index in invalid:
            continue
        source = FileLocation(document.file, document.line)
        find_place = partial(places.find, document.file, document.index, document.line)
        webhooks[document.address] = Declared(document.canonical, source, find_place, document.inherited)
        if document.moved_from is not None:
            moved_from[document.address] = document.moved_from
    return Desired(
        {address: webhooks[address] for address in sorted(webhooks)},
        narrowed,
        moved_from=dict(sorted(moved_from.items())),
    )
