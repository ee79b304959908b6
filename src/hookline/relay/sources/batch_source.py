"""The source of a finite run: reads the named inputs one after the other, each to its end."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.file_content import ReadStatus, StaleHandle
from hookline.relay.sources.file_reader import FileReader
from hookline.relay.sources.files.read_context import ReadContext, ReadingStopped
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.input_files import STANDARD_INPUT, Reader, open_reader, status_of
from hookline.relay.sources.rotated_names import display_name
from hookline.relay.sources.rotation_search import LOST_MESSAGE, MAX_TRIES, find_unread_files
from hookline.relay.sources.source import START_POSITION, Batch, Position, SourceLag

_RETRY_SECONDS = 0.05  # between reads of a file that a writer may be in the middle of


class BatchSource:
    """Implements LineSource for existing paths, or ``-``. Opens each in its turn.

    Before a log it reads the files to which the log was rotated since an earlier run, if that run has not read them.
    """

    def __init__(self, paths: Sequence[str], roots: Mapping[str, str | None], context: ReadContext) -> None:
        """Create the source.

        Args:
            paths: the paths in their order.
            roots: the `root` of each path (see open_reader).
            context: the values that all readers share.
        """
        self._pending = deque(paths)
        self._roots = roots
        self._context = context
        self._logger = context.logger
        self._timing = context.timing
        self._current: Reader | None = None
        self._unfinished: list[tuple[str, int]] = []
        stats = [status_of(path) for path in paths]
        self._opened_files: set[InodeIdentity] = set()
        self._total = None if None in stats else sum(one.st_size for one in stats if one is not None)
        self._bytes_done = 0
        self._path, self._has_lines, self._is_replaced = "", False, False  # of the current input
        self._already_read: list[str] = []
        self._newest: int | None = None  # the latest change of the rotated files, in nanoseconds
        self._wanted: set[InodeIdentity] = set()  # the rotated files that were found

    def read(self) -> Batch:
        try:
            return self._read_next()
        except ReadingStopped:
            return self._drain_pipe()

    def _read_next(self) -> Batch:
        deadline = self._timing.monotonic() + self._timing.wait_seconds
        source = ""
        while (left := deadline - self._timing.monotonic()) > 0:
            self._context.stop.check()
            current = self._current = self._current or self._open_next()
            if current is None:
                return Batch(source, [], START_POSITION, True)
            source = current.name
            lines, position, ended = self._read(current, left)
            self._has_lines |= bool(lines)
            if ended:
                self._end(current)
            if lines or position is not START_POSITION:
                return Batch(source, lines, position, ended and not self._pending)
        return Batch(source, [], START_POSITION, False)

    def lags(self) -> list[SourceLag]:
        current = self._current
        return [current.lag()] if current is not None else []

    def progress(self) -> tuple[int, int | None]:
        current = self._current
        return self._bytes_done + (current.bytes_read if current is not None else 0), self._total

    def unfinished(self) -> list[tuple[str, int]]:
        return list(self._unfinished)

    def finish(self) -> None:
        self._context.stop.request()

    def stray_bytes(self) -> int:
        return self._context.stray.total

    def already_read(self) -> list[str]:
        return list(self._already_read)

    def _end(self, current: Reader) -> None:
        """Closes an input at its end, and remembers what of it was not read."""
        unread = current.unfinished_bytes or current.is_damaged
        if unread:
            self._unfinished.append((current.name, 0 if current.is_damaged else current.unfinished_bytes))
        elif isinstance(current, FileReader) and current.origin_key and not self._has_lines and not self._is_replaced:
            self._already_read.append(current.name)
        self._bytes_done += current.bytes_read
        current.close()
        self._current = None

    def _drain_pipe(self) -> Batch:
        """Returns the lines that were taken from a pipe. Lines of a file remain in the file."""
        current = self._current
        if current is None or isinstance(current, FileReader):
            return Batch("", [], START_POSITION, True)
        current.finish()
        lines = current.read(0)
        if not lines and current.unfinished_bytes:
            self._unfinished.append((current.name, current.unfinished_bytes))
        return Batch(current.name, lines, current.take_position(), not lines)

    def close(self) -> None:
        if self._current is not None:
            self._current.close()
        self._context.stop.close()

    def _open_next(self) -> Reader | None:
        """Opens the next input, or a rotated file that is read before it."""
        if not self._pending:
            return None
        log_path = self._pending[0]
        path, reader = self._open_log(log_path)
        self._path, self._has_lines, self._is_replaced = path, False, False
        if path == log_path:
            self._pending.popleft()
            self._newest = None
            self._wanted.clear()
        else:
            self._logger.info("rotated file is read first", source=display_name(path))
        if isinstance(reader, FileReader):
            self._opened_files.add((reader.device, reader.inode))
        return reader

    def _open_log(self, log_path: str) -> tuple[str, Reader]:
        """Opens the log, or a rotated file before it. Searches again if a file is renamed before it is opened."""
        for _ in range(MAX_TRIES):
            path, expected = self._oldest_unread(log_path)
            try:
                reader = open_reader(path, self._context, root=self._root_of(path))
            except HooklineError:
                if path == log_path:
                    raise
                continue
            if not isinstance(reader, FileReader) or expected in {None, (reader.device, reader.inode)}:
                return path, reader
            reader.close()
        return log_path, open_reader(log_path, self._context, root=self._root_of(log_path))

    def _root_of(self, path: str) -> str | None:
        """Returns the directory out of which a link may not lead, or None if the operator named the path."""
        return self._roots[path] if path in self._roots else os.path.realpath(os.path.dirname(path) or ".")

    def _oldest_unread(self, log_path: str) -> tuple[str, InodeIdentity | None]:
        """Returns the path of the oldest unread file of a log, and its identity if it is known."""
        if log_path == STANDARD_INPUT:
            return log_path, None
        unread = find_unread_files(
            log_path, self._context, self._opened_files, after=self._newest, wanted=self._wanted
        )
        if unread.lost:
            self._logger.warning(LOST_MESSAGE, source=display_name(log_path), **unread.warning)
        self._newest = unread.newest
        self._wanted |= {one.identity for one in unread.files}
        # A file that was named itself is read in its own turn.
        for rotated in unread.files:
            if rotated.path not in self._roots:
                return rotated.path, rotated.identity
        return log_path, unread.log

    def _read(self, current: Reader, wait: float) -> tuple[list[Line], Position, bool]:
        if not isinstance(current, FileReader):
            lines = current.read(wait)
            return lines, current.take_position(), current.ended
        try:
            lines, status = current.read(final=True)
        except StaleHandle as error:
            self._logger.warning("file is opened again", source=current.name, reason=error.message)
            current.close()
            self._current = open_reader(self._path, self._context, root=self._root_of(self._path))
            self._timing.sleep(min(wait, _RETRY_SECONDS))
            return [], START_POSITION, False
        if status is ReadStatus.REPLACED:
            event = "file was truncated or replaced during the read; the next run reads its current content"
            self._logger.warning(event, source=current.name, byte=current.bytes_read)
            self._unfinished.append((current.name, 0))
            self._is_replaced = True
        if status is ReadStatus.WAITING and not lines:
            self._timing.sleep(min(wait, _RETRY_SECONDS))
        return lines, current.take_position(), status in {ReadStatus.AT_END, ReadStatus.REPLACED}
