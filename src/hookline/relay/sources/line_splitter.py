"""Splits a stream of bytes into lines, without I/O and in bounded memory, also for an endless line."""

from __future__ import annotations

import hashlib
import re

from hookline.relay.delivery_record import Line
from hookline.relay.sources.json_values import is_json, value_ends

MAX_LINE_BYTES = 1024 * 1024
KEPT_LINE_BYTES = 64 * 1024
TAIL_BYTES = 4096
# Bytes that cannot begin a line. A hole in a file (a power cut, a truncation below a writer that does not append)
# reads as NUL bytes. RFC 7464 puts a record separator before each value. Joined files have byte order marks.
_STRAY = re.compile(rb"(?:[\0\x1e]++|\xef\xbb\xbf)++")
_FIRST_OF_MARK = b"\xef"[0]
# No line of text contains a NUL byte or a record separator, so a line also ends before one.
_END = re.compile(rb"[\n\0\x1e]")
_LINE_FEED = b"\n"[0]
# After a line without a terminator, more bytes must show whether these end with its late terminator.
_UNDECIDED = re.compile(rb"(?:[\0\x1e]++|\xef\xbb\xbf)*+(?:\r|\xef\xbb?)?")
_BLANK = re.compile(rb"(?:[\s\0\x1e]++|\xef\xbb\xbf)*+")


def is_blank(rest: bytes) -> bool:
    """Returns whether the bytes are only white space and bytes that cannot begin a line."""
    return _BLANK.fullmatch(rest) is not None


class _OversizedLine:
    def __init__(self) -> None:
        self.head = b""
        self.length = 0
        self.tail = b""
        self._hash = hashlib.sha256()
        self._carriage_return = b""

    def add(self, part: bytes) -> None:
        """Adds bytes. A final carriage return may belong to the terminator and is counted with the next bytes."""
        self.tail = (self.tail + part[-TAIL_BYTES:])[-TAIL_BYTES:]
        part = self._carriage_return + part
        self._carriage_return = b"\r" if part.endswith(b"\r") else b""
        part = part.removesuffix(b"\r")
        if len(self.head) < KEPT_LINE_BYTES:
            self.head += part[: KEPT_LINE_BYTES - len(self.head)]
        self.length += len(part)
        self._hash.update(part)

    def line(self, number: int) -> Line:
        return Line(number, self.head, self.length, self._hash.digest())


class LineSplitter:
    """Splits chunks into lines. A line ends at ``\\n``; a ``\\r`` before it is dropped.

    NUL bytes, record separators and byte order marks before a line are dropped. They count as read, but not as a
    line. A line ends before a NUL byte or a record separator. JSON values without line ends are lines of their own if
    they would make a line over the limit.

    Attributes:
        number: the number of lines returned.
        offset: the byte after the last line returned.
        stray_bytes: the bytes that were dropped before lines, since the last call of `take_stray_bytes`.

    Args:
        number, offset, tail: where a checkpoint was. `tail` are the last bytes before `offset`.
        unterminated: the last line was returned without a terminator, which may still follow.
    """

    def __init__(self, *, number: int = 0, offset: int = 0, tail: bytes = b"", unterminated: bool = False) -> None:
        self.number = number
        self.offset = offset
        self._tail = tail[-TAIL_BYTES:]  # the last bytes before the buffer
        self._buffer = b""
        self._start = 0
        self._oversized: _OversizedLine | None = None
        self._oversized_bytes = 0
        self._unterminated = unterminated
        self._has_stray = False  # the buffer may contain a NUL byte or a record separator
        self.stray_bytes = 0

    @property
    def unfinished_bytes(self) -> int:
        """The bytes that were fed and not returned: complete lines, and the beginning of one."""
        return self._oversized_bytes + len(self._buffer) - self._start

    @property
    def tail(self) -> bytes:
        """The last bytes before `offset`, at most TAIL_BYTES."""
        return (self._tail + self._buffer[max(0, self._start - TAIL_BYTES) : self._start])[-TAIL_BYTES:]

    def feed(self, chunk: bytes) -> None:
        self._tail = self.tail
        self._has_stray = (self._has_stray and self._start < len(self._buffer)) or b"\0" in chunk or b"\x1e" in chunk
        self._buffer = self._buffer[self._start :] + chunk
        self._start = 0

    def _drop(self, length: int) -> None:
        self._start += length
        self.offset += length

    def take_stray_bytes(self) -> int:
        """Returns the bytes that were dropped before lines since the last call."""
        taken, self.stray_bytes = self.stray_bytes, 0
        return taken

    def _drop_stray(self, *, at_end: bool = False) -> None:
        """Drops the bytes that cannot begin a line. Keeps a short run at the end of the buffer unless `at_end`,
        because a writer may reserve space that it fills later.
        """
        found = _STRAY.match(self._buffer, self._start) if self._oversized is None else None
        if found is not None and (at_end or found.end() < len(self._buffer) or len(found[0]) > MAX_LINE_BYTES):
            self.stray_bytes += len(found[0])
            self._drop(len(found[0]))

    def take(self, max_lines: int) -> list[Line]:
        """Returns the complete lines, at most `max_lines`."""
        lines: list[Line] = []
        while len(lines) < max_lines:
            if self._has_stray or self._unterminated:
                self._drop_stray()
            if self._unterminated:
                if self._skip_late_terminator():
                    continue
                break
            end = self._find_end()
            if end < 0:
                self._drop_stray()
                if not self._take_value(lines, len(self._buffer)):
                    self._consume_oversized()
                    break
                continue
            if self._buffer[self._start] == _FIRST_OF_MARK:
                self._drop_stray()
            if end - self._start > MAX_LINE_BYTES + 1 and self._take_value(lines, end):
                continue
            if self._has_stray and self._buffer[end] != _LINE_FEED:
                lines.append(self._cut(end, 0))
                self._unterminated = True
            else:
                lines.append(self._cut(end, 1))
        return lines

    def _find_end(self) -> int:
        if not self._has_stray:
            return self._buffer.find(b"\n", self._start)
        found = _END.search(self._buffer, self._start)
        if found is None:
            return -1
        kept = _STRAY.match(self._buffer, self._start)  # at the end of the buffer, otherwise it was dropped
        is_kept = kept is not None and kept.end() > found.start()
        return -1 if is_kept else found.start()

    def _take_value(self, lines: list[Line], end: int) -> bool:
        """Takes the next JSON value if the bytes before `end` would make a line over the limit."""
        if self._oversized is not None or end - self._start <= MAX_LINE_BYTES + 1:
            return False
        ends = value_ends(self._buffer[self._start : min(end, self._start + MAX_LINE_BYTES)], 1)
        if not ends:
            return False
        lines.append(self._cut(self._start + ends[0], 0))
        self._unterminated = True
        return True

    def unterminated_line(self) -> bytes | None:
        """Returns the incomplete line, or None if it is over the limit. Called when `take` returns nothing."""
        return None if self._oversized else self._buffer[self._start :]

    def take_values(self, max_lines: int) -> list[Line]:
        """Returns the complete JSON objects and lists at the beginning of the incomplete line, each as a line.

        A number or plain text may be the beginning of a longer line.
        """
        lines: list[Line] = []
        while len(lines) < max_lines and (rest := self.unterminated_line()):
            ends = value_ends(rest, 1)
            if not ends or not is_json(rest[: ends[0]]):
                break
            lines.append(self._cut(self._start + ends[0], 0))
            self._drop_stray()
            self._unterminated = True
        return lines

    def take_unterminated(self) -> Line | None:
        """Ends and returns the incomplete line as if a terminator had followed. Returns None if there is none."""
        self._drop_stray(at_end=True)
        if not self.unfinished_bytes:
            return None
        line = self._cut(len(self._buffer), 0)
        self._unterminated = True
        return line

    def end_stream(self) -> None:
        """Declares that the late terminator of a returned line will not follow, because another stream follows."""
        self._unterminated = False

    def _skip_late_terminator(self) -> bool:
        """Drops the late terminator of a returned line. Returns False if more bytes are needed to decide."""
        if _UNDECIDED.fullmatch(self._buffer, self._start):
            return False
        for terminator in (b"\r\n", b"\n"):
            if self._buffer.startswith(terminator, self._start):
                self._drop(len(terminator))
                break
        self._unterminated = False
        return True

    def _consume_oversized(self) -> None:
        """Hashes and drops the bytes of a line over the limit."""
        # One byte more than the limit may still be the carriage return of a terminator.
        if self._oversized is None and len(self._buffer) - self._start > MAX_LINE_BYTES + 1:
            self._oversized = _OversizedLine()
        if self._oversized is not None:
            self._tail = self.tail
            self._oversized.add(self._buffer[self._start :])
            self._oversized_bytes += len(self._buffer) - self._start
            self._buffer, self._start = b"", 0

    def _cut(self, end: int, terminator: int) -> Line:
        part = self._buffer[self._start : end]
        self.number += 1
        self.offset += self._oversized_bytes + len(part) + terminator
        self._start = end + terminator
        oversized, self._oversized, self._oversized_bytes = self._oversized, None, 0
        if oversized is None:
            data = part[:-1] if part.endswith(b"\r") else part
            if len(data) <= MAX_LINE_BYTES:
                return Line(self.number, data, len(data))
            oversized = _OversizedLine()
        else:
            self._tail = (self._tail + oversized.tail)[-TAIL_BYTES:]
        oversized.add(part)
        return oversized.line(self.number)
