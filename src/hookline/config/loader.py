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

from hookline.config import file_validator
from hookline.config.discovery import FilePath, LeftOut, WebhookFile, find_files, no_files_error, read_file
from hookline.config.document_access import RuleFinding
from hookline.config.file_validator import ValidatedDocument, ValidatedFile, locate_findings, validate_file
from hookline.config.source_text import SourceFinding, SourceText, decode_source
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


def validate_files(paths: Sequence[FilePath]) -> Iterator[ValidatedFile]:
    """Returns one result per file, in order. Uses as many processes as `worker_count` returns."""
    workers = worker_count(len(paths))
    if workers > 1 and (pool := _pool(workers)) is not None:
        return _validate_in_pool(paths, pool)
    return map(_read_and_validate, paths)


def worker_count(files: int) -> int:
    """The useful number of processes; 1 beside other threads, whose locks a fork would leave locked for ever."""
    if files < MIN_FILES_FOR_POOL or not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), _MAX_WORKERS)


def _pool(workers: int) -> ProcessPoolExecutor | None:
    """A pool of processes that run; None if the machine allows none.

    A container may have no writable /dev/shm for their semaphores, or a limit on processes.
    """
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415 - for many files
    from multiprocessing import get_context  # noqa: PLC0415

    # A forked worker shares the imported modules and starts in milliseconds; a spawned one does not.
    # Ctrl-C reaches every process of a terminal. The parent stops the workers, which then print no traceback.
    ignore_interrupts = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    pool = None
    try:
        pool = ProcessPoolExecutor(workers, mp_context=get_context("fork"), initializer=ignore_interrupts)
        pool.submit(int)  # starts the processes
    except (OSError, ImportError, NotImplementedError):
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        return None
    return pool


def _validate_in_pool(paths: Sequence[FilePath], pool: ProcessPoolExecutor) -> Iterator[ValidatedFile]:
    from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - as above

    try:
        yield from pool.map(_read_and_validate, paths, chunksize=_CHUNK_FILES)
    except BrokenProcessPool as broken:
        hint = "check the available memory, then run the command again"
        raise HooklineError("a process that read webhook files has died", hint=hint) from broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read_and_validate(path: FilePath) -> ValidatedFile:
    file = read_file(path)
    return ValidatedFile((), (file,)) if isinstance(file, Diagnostic) else validate_file(file)


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of a validation. `desired` contains the webhooks without findings."""

    desired: Desired
    diagnostics: tuple[Diagnostic, ...]
    files: int
    documents: int
    left_out: tuple[LeftOut, ...] = ()


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
    inspection = inspect(directory, paths)
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
    return Desired({address: declared[address] for address in sorted(set(targets))}, narrowed=True)


def inspect(directory: Path, paths: Sequence[Path] = ()) -> Inspection:
    """Like `load`, but returns the findings. Raises WrongUse, and HooklineError if a worker process dies."""
    entries, left_out = find_files(directory, paths)
    files = [entry for entry in entries if isinstance(entry, FilePath)]
    diagnostics = [entry for entry in entries if isinstance(entry, Diagnostic)]
    documents: list[ValidatedDocument] = []
    for validated in validate_files(files):
        documents.extend(validated.documents)
        diagnostics.extend(validated.diagnostics)
    conflicts: defaultdict[int, list[RuleFinding]] = defaultdict(list)
    for index, finding in file_validator.check_across_documents(documents):
        conflicts[index].append(finding)
    diagnostics.extend(_locate_conflicts(documents, conflicts, files))
    desired = _desired(documents, conflicts, narrowed=bool(paths))
    desired = replace(desired, misnamed=tuple(one.name for one in left_out if one.misnamed))
    return Inspection(
        desired, sorted_diagnostics(diagnostics), len(entries), len(documents), left_out=tuple(left_out)
    )


def require_files(directory: Path) -> None:
    """Raises WrongUse if the configuration directory does not exist or contains no webhook file."""
    entries, left_out = find_files(directory, ())
    if not entries:
        problem = "contains no webhook file" if is_directory(directory) else "does not exist"
        raise no_files_error(f"the configuration directory {directory} {problem}", left_out)


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


def _desired(documents: Iterable[ValidatedDocument], invalid: Collection[int], *, narrowed: bool) -> Desired:
    webhooks: dict[Address, Declared] = {}
    for index, document in enumerate(documents):
        if document.canonical is None or document.address is None or index in invalid:
            continue
        source = FileLocation(document.file, document.line)
        webhooks[document.address] = Declared(document.canonical, source)
    return Desired({address: webhooks[address] for address in sorted(webhooks)}, narrowed)
