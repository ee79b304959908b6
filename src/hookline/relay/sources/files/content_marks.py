"""Marks: checksums of short parts of a content. They show how far a file that has become shorter is the content that
was read.

A file loses its tail when a machine or a file server loses power before the data is on the disk. A checkpoint beyond
the new end identifies nothing by its own hash, so it has marks before it: at the ends of the last lines, and farther
apart before these.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from itertools import dropwhile
from typing import Final
from zlib import crc32

MAX_LINE_MARKS: Final = 64
LINE_MARKS_BYTES: Final = 64 * 1024  # the part before a checkpoint in which lines are marked
_WINDOW_BYTES: Final = 256
_FIRST_GRID_BYTES: Final = 4096
_GROWTH: Final = 4
# The end of the part, its length, and its checksum. A part that is not a line has the length _WINDOW_BYTES.
_MARK: Final = struct.Struct(">QI4s")

ReadAt = Callable[[int, int], bytes]
"""Returns bytes of a file, by offset and length."""


class ContentMarks:
    """The marks of one open file. Keeps them, because later checkpoints have most of them, too."""

    def __init__(self) -> None:
        self._windows: dict[int, bytes] = {}
        self._lines: list[bytes] = []

    def at(self, offset: int, read_at: ReadAt) -> bytes:
        """Returns the marks of a checkpoint at `offset`, in their order. Raises OSError."""
        self._lines = lines = self._line_marks(offset, read_at)
        first = _MARK.unpack_from(lines[0])[0] if lines else offset
        known = self._windows
        self._windows = {at: known.get(at) or _window_mark(at, read_at) for at in _window_ends(offset) if at < first}
        return b"".join((*self._windows.values(), *lines))

    def _line_marks(self, offset: int, read_at: ReadAt) -> list[bytes]:
        """Returns the marks of the last lines before `offset`. Reads only the lines after the known ones."""
        start = max(0, offset - LINE_MARKS_BYTES)
        known_end = _MARK.unpack_from(self._lines[-1])[0] if self._lines else 0
        if not start < known_end <= offset:
            return _line_marks(start, read_at(start, offset - start), begins_line=not start)
        added = _line_marks(known_end, read_at(known_end, offset - known_end), begins_line=True)
        known = dropwhile(lambda mark: _begin_of(mark) <= start, self._lines) if start else self._lines
        return [*known, *added][-MAX_LINE_MARKS:]

    def of_file(self, descriptor: int, offset: int, *, head: bytes, tail: bytes) -> bytes:
        """Returns the marks of an open file, or none if it cannot be read. An archive has none: less is damage.

        If the file was truncated since its lines were read, the marks would describe its new content. So they count
        only if the file still has the bytes that were read: its `head`, and the `tail` before the offset.
        """
        try:
            marks = self.at(offset, lambda at, length: os.pread(descriptor, length, at))
            is_same = os.pread(descriptor, len(tail), offset - len(tail)) == tail
            is_same = is_same and os.pread(descriptor, len(head), 0) == head
        except OSError:
            is_same = False
        if not is_same:
            self._windows, self._lines = {}, []
            return b""
        return marks


def _window_ends(offset: int) -> list[int]:
    """Returns offsets at powers from the beginning, and at the last multiples of powers before `offset`."""
    found = []
    at = _WINDOW_BYTES
    while at <= offset:
        found.append(at)
        at *= _GROWTH
    grid = _FIRST_GRID_BYTES
    while grid <= offset:
        found.append(offset - offset % grid)
        grid *= _GROWTH
    return sorted(dict.fromkeys(found))


def _begin_of(mark: bytes) -> int:
    end, length, _ = _MARK.unpack(mark)
    begin: int = end - length
    return begin


def _line_marks(start: int, content: bytes, *, begins_line: bool) -> list[bytes]:
    """Returns marks of the last whole lines of the content from `start` on, where a line may begin."""
    marks: list[bytes] = []
    end = content.rfind(b"\n") + 1
    while end and len(marks) < MAX_LINE_MARKS:
        begin = content.rfind(b"\n", 0, end - 1) + 1
        if not begin and not begins_line:
            break  # the beginning of this line is before the content
        marks.append(_MARK.pack(start + end, end - begin, _checksum(content[begin:end])))
        end = begin
    return marks[::-1]


def _window_mark(at: int, read_at: ReadAt) -> bytes:
    return _MARK.pack(at, _WINDOW_BYTES, _checksum(read_at(at - _WINDOW_BYTES, _WINDOW_BYTES)))


def kept_bytes(offset: int, size: int, read_at: ReadAt) -> int:
    """Returns how many of the first `offset` bytes a file of `size` bytes has kept.

    NUL bytes before `offset` are lost content: after a power cut a file can have its length and an empty end.
    """
    kept = min(offset, size)
    while kept:
        start = max(0, kept - LINE_MARKS_BYTES) if kept < offset else kept - 1
        part = read_at(start, kept - start)
        content = part.rstrip(b"\0")
        if content or not part:
            return start + len(content)
        kept = start
    return 0


def verified_offset(marks: bytes, size: int, read_at: ReadAt) -> int:
    """Returns up to where a file of `size` bytes has the marked content, at the end of a line; 0 if it has not.

    Raises OSError.
    """
    verified = 0
    for end, length, digest in _MARK.iter_unpack(marks) if len(marks) % _MARK.size == 0 else ():
        if end > size or length > end or _checksum(read_at(end - length, length)) != digest:
            break
        verified = end
    start = max(0, verified - LINE_MARKS_BYTES)
    return start + read_at(start, verified - start).rfind(b"\n") + 1 if verified else 0


def _checksum(part: bytes) -> bytes:
    """Of every line of a followed log, so it is cheap. It has to recognize lost bytes, not forged ones."""
    return crc32(part).to_bytes(4, "big")
