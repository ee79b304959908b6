"""From a name on the command line to the source that fits what stands behind it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence

from hookline.errors import HooklineError
from hookline.relay.sources.files import FileSource, facts_of
from hookline.relay.sources.identity import checkpoint_for
from hookline.relay.sources.port import NOWHERE, Batch, Position, SourceLag
from hookline.relay.sources.stdin import PipeSource

STANDARD_INPUT = "-"
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}


def open_source(
    name: str, checkpoints: Iterable[Position] = (), *, from_start: bool = False
) -> FileSource | PipeSource:
    """Open a file, a pipe by name (``<(zcat …)``, a FIFO), or ``-`` for standard input.

    A regular file, also behind a redirected standard input, goes on where the checkpoint that belongs to it says,
    whatever its name was then; `from_start` ignores the checkpoints. Opening a FIFO waits for its writer.
    Raises HooklineError when there is nothing to read: missing, a directory, no permission.
    """
    descriptor = 0 if name == STANDARD_INPUT else _opened(name)
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError as error:
        raise HooklineError("standard input is closed", hint="name a file, or pipe events in") from error
    if stat.S_ISREG(mode):
        facts = facts_of(name, descriptor)
        _refuse_compressed(name, facts.head)
        known = None if from_start else checkpoint_for(facts, checkpoints)
        return FileSource(name, descriptor, known)
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise HooklineError(
            f"{name} is a directory", hint=f"name the files in it, such as {name.rstrip('/')}/*.ndjson"
        )
    return PipeSource(name, descriptor)


def _opened(name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise HooklineError(f"{name}: no such file", hint="check the path; - reads standard input") from error
    except OSError as error:
        raise HooklineError(f"{name}: cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise HooklineError(f"{name!r} is not a file name: {error}") from error


def _refuse_compressed(name: str, head: bytes) -> None:
    """Said once and at the door: as lines, a compressed file would become so many dead letters."""
    for magic, program in _COMPRESSED.items():
        if head.startswith(magic):
            raise HooklineError(
                f"{name} is compressed ({program})", hint=f"pipe it in: {program} -dc {name} | hookline relay -"
            )


class Chain:
    """Several sources, one after the other. Implements port.LineSource."""

    def __init__(self, names: Sequence[str], positions: Iterable[Position], *, from_start: bool) -> None:
        self._names = list(names)
        self._positions = list(positions)
        self._from_start = from_start
        self._open: FileSource | PipeSource | None = None
        self._unfinished: list[tuple[str, int]] = []
        self._finishing = False

    def read(self) -> Batch:
        if self._open is None:
            if not self._names or self._finishing:
                return Batch("", [], NOWHERE, True)
            self._open = open_source(self._names.pop(0), self._positions, from_start=self._from_start)
        batch = self._open.read()
        if batch.end:
            if self._open.unfinished:
                self._unfinished.append((self._open.name, self._open.unfinished))
            self._open.close()
            self._open = None
        return Batch(batch.source, batch.lines, batch.position, batch.end and not self._names)

    def finish(self) -> None:
        self._finishing = True

    def lags(self) -> list[SourceLag]:
        source = self._open
        if source is None:
            return []
        try:
            done, total = source.progress()
        except OSError:  # the reader has just closed it
            return []
        return [SourceLag(source.name, source.reached, None if total is None else max(0, total - done))]

    def progress(self) -> tuple[int, int | None]:
        return self._open.progress() if self._open is not None else (0, None)

    def unfinished(self) -> list[tuple[str, int]]:
        return self._unfinished

    def close(self) -> None:
        if self._open is not None:
            self._open.close()


def open_sources(names: Sequence[str], positions: Iterable[Position], *, follow: bool, from_start: bool) -> Chain:
    if follow:
        raise HooklineError("--follow is not there yet")
    return Chain(names, positions, from_start=from_start)
