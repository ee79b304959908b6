"""A finite run: what was named, one after the other, each to its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from hookline.relay.fates import Line
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.devices import Reader, open_reader, status_of
from hookline.relay.sources.files import Came, FileReader
from hookline.relay.sources.port import NOWHERE, WAIT, Batch, Notes, Position, SourceLag
from hookline.relay.sources.siblings import left_behind

_STANDARD_INPUT = "-"


class Series:
    """Implements port.LineSource for paths that are there, or ``-``; each is opened when it is its turn.

    Before a log come the files that it was rotated to since an earlier run, as far as that has not read them.
    `total` is the size of all files, None where there is a pipe among them.
    """

    def __init__(self, paths: Sequence[str], checkpoints: Checkpoints, notes: Notes) -> None:
        self._waiting = deque(paths)
        self._checkpoints = checkpoints
        self._notes = notes
        self._current: Reader | None = None
        self._unfinished: list[tuple[str, int]] = []
        stats = [status_of(path) for path in paths]
        self._held = {(one.st_dev, one.st_ino) for one in stats if one is not None}
        self._total = None if None in stats else sum(one.st_size for one in stats if one is not None)
        self._done = 0
        self._finishing = False
        self._newest: int | None = None  # when the last of the rotated files was changed

    def read(self) -> Batch:
        deadline = time.monotonic() + WAIT
        source = ""
        if self._finishing:
            return self._rest()
        while (left := deadline - time.monotonic()) > 0:
            current = self._current = self._current or self._next()
            if current is None:
                return Batch(source, [], NOWHERE, True)
            source = current.name
            lines, position, ended = self._read(current, left)
            if ended:
                self._finish(current)
            if lines or position is not NOWHERE:
                return Batch(source, lines, position, ended and not self._waiting)
        return Batch(source, [], NOWHERE, False)

    def lags(self) -> list[SourceLag]:
        current = self._current
        return [current.lag()] if current is not None else []

    def progress(self) -> tuple[int, int | None]:
        current = self._current
        return self._done + (current.bytes_read if current is not None else 0), self._total

    def unfinished(self) -> list[tuple[str, int]]:
        return list(self._unfinished)

    def finish(self) -> None:
        self._finishing = True

    def _rest(self) -> Batch:
        """What was taken out of a pipe; a file's lines stay in the file."""
        current = self._current
        if current is None or isinstance(current, FileReader):
            return Batch("", [], NOWHERE, True)
        current.finish()
        lines = current.read(0)
        if not lines and current.unfinished:
            self._unfinished.append((current.name, current.unfinished))
        return Batch(current.name, lines, current.take_position(), not lines)

    def close(self) -> None:
        if self._current is not None:
            self._current.close()

    def _next(self) -> Reader | None:
        """The next in line, or what is to be read before it."""
        if not self._waiting:
            return None
        path = self._waiting[0]
        if (older := self._older(path)) is not None:
            path = older
            self._notes.info("rotated file is read first", source=path)
        else:
            self._waiting.popleft()
            self._newest = None
        reader = open_reader(path, self._checkpoints, self._notes)
        if isinstance(reader, FileReader):
            self._held.add((reader.device, reader.inode))
        return reader

    def _older(self, path: str) -> str | None:
        """The next of the files that a log was rotated to. Looked up one by one: they may be renamed meanwhile."""
        if path == _STANDARD_INPUT:
            return None
        older = left_behind(path, self._checkpoints, held=self._held, after=self._newest)
        if not older or (status := status_of(older[0])) is None:
            return None
        self._newest = max(self._newest or 0, status.st_mtime_ns)
        return older[0]

    def _read(self, current: Reader, wait: float) -> tuple[list[Line], Position, bool]:
        if not isinstance(current, FileReader):
            lines = current.read(wait)
            return lines, current.take_position(), current.ended
        lines, came = current.read(final=True)
        if came is Came.REPLACED:
            self._notes.warning(
                "file was truncated or replaced while it was read; the next run begins with what is in it now",
                source=current.name,
                byte=current.bytes_read,
            )
        return lines, current.take_position(), came is not Came.MORE

    def _finish(self, current: Reader) -> None:
        if isinstance(current, FileReader) and current.unfinished:
            self._unfinished.append((current.name, current.unfinished))
        self._done += current.bytes_read
        current.close()
        self._current = None
