"""A finite run: what was named, one after the other, each to its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader, ReadStatus
from hookline.relay.sources.input_files import Reader, open_reader, status_of
from hookline.relay.sources.rotated_names import display_name
from hookline.relay.sources.rotation_search import LOST_MESSAGE, MAX_TRIES, InodeIdentity, find_unread_files
from hookline.relay.sources.source import START_POSITION, WAIT_SECONDS, Batch, Position, SourceLag, SourceLog

_STANDARD_INPUT = "-"
_PAUSE = 0.05  # seconds between two looks at a file that somebody may be in the middle of writing


class BatchSource:
    """Implements port.LineSource for paths that are there, or ``-``; each is opened when it is its turn.

    Before a log come the files that it was rotated to since an earlier run, as far as that has not read them.
    `total` is the size of all files, None where there is a pipe among them.
    """

    def __init__(self, paths: Sequence[str], checkpoints: Checkpoints, notes: SourceLog) -> None:
        self._waiting = deque(paths)
        self._checkpoints = checkpoints
        self._notes = notes
        self._current: Reader | None = None
        self._unfinished: list[tuple[str, int]] = []
        stats = [status_of(path) for path in paths]
        self._held: set[InodeIdentity] = set()
        self._named = frozenset(paths)
        self._total = None if None in stats else sum(one.st_size for one in stats if one is not None)
        self._done = 0
        self._finishing = False
        self._newest: int | None = None  # when the last of the rotated files was changed
        self._wanted: set[InodeIdentity] = set()  # and which they are

    def read(self) -> Batch:
        deadline = time.monotonic() + WAIT_SECONDS
        source = ""
        if self._finishing:
            return self._rest()
        while (left := deadline - time.monotonic()) > 0:
            current = self._current = self._current or self._next()
            if current is None:
                return Batch(source, [], START_POSITION, True)
            source = current.name
            lines, position, ended = self._read(current, left)
            if ended:
                self._finish(current)
            if lines or position is not START_POSITION:
                return Batch(source, lines, position, ended and not self._waiting)
        return Batch(source, [], START_POSITION, False)

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
            return Batch("", [], START_POSITION, True)
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
        log = self._waiting[0]
        path, reader = self._opened(log)
        if path == log:
            self._waiting.popleft()
            self._newest = None
            self._wanted.clear()
        else:
            self._notes.info("rotated file is read first", source=display_name(path))
        if isinstance(reader, FileReader):
            self._held.add((reader.device, reader.inode))
        return reader

    def _opened(self, log: str) -> tuple[str, Reader]:
        """The log, or what is to be read before it; searched for again when that was renamed before it was opened."""
        for _ in range(MAX_TRIES):
            path, expected = self._oldest(log)
            try:
                reader = open_reader(path, self._checkpoints, self._notes)
            except HooklineError:
                if path == log:
                    raise
                continue
            if not isinstance(reader, FileReader) or expected in {None, (reader.device, reader.inode)}:
                return path, reader
            reader.close()
        return log, open_reader(log, self._checkpoints, self._notes)

    def _oldest(self, log: str) -> tuple[str, InodeIdentity | None]:
        """What is to be read next of a log and its rotated files, and which file that is."""
        if log == _STANDARD_INPUT:
            return log, None
        behind = find_unread_files(log, self._checkpoints, held=self._held, after=self._newest, wanted=self._wanted)
        if behind.lost:
            self._notes.warning(LOST_MESSAGE, source=display_name(log))
        self._newest = behind.newest
        self._wanted |= {one.identity for one in behind.files}
        # What was named itself is read when it is its turn.
        for sibling in behind.files:
            if sibling.path not in self._named:
                return sibling.path, sibling.identity
        return log, behind.log

    def _read(self, current: Reader, wait: float) -> tuple[list[Line], Position, bool]:
        if not isinstance(current, FileReader):
            lines = current.read(wait)
            return lines, current.take_position(), current.ended
        lines, came = current.read(final=True)
        if came is ReadStatus.REPLACED:
            self._notes.warning(
                "file was truncated or replaced during the read; the next run reads its current content",
                source=current.name,
                byte=current.bytes_read,
            )
        if came is ReadStatus.WAITING and not lines:
            time.sleep(min(wait, _PAUSE))
        return lines, current.take_position(), came in {ReadStatus.DRY, ReadStatus.REPLACED}

    def _finish(self, current: Reader) -> None:
        if isinstance(current, FileReader) and current.unfinished:
            self._unfinished.append((current.name, current.unfinished))
        self._done += current.bytes_read
        current.close()
        self._current = None
