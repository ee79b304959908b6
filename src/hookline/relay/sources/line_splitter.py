"""Splits a stream of bytes into lines, without I/O and in bounded memory, also for an endless line."""

from __future__ import annotations

import hashlib

import msgspec

from hookline.relay.delivery_record import Line

MAX_LINE_BYTES = 1024 * 1024
KEPT_LINE_BYTES = 64 * 1024
TAIL_BYTES = 4096
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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

    Attributes:
        number: the number of lines returned.
        offset: the byte after the last line returned.

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
        self._buffer = self._buffer[self._start :] + chunk
        self._start = 0

    def drop(self, prefix: bytes) -> bool:
        """Drops `prefix` and returns True if the next bytes are that. It counts as read, but not as a line."""
        if not self._buffer.startswith(prefix, self._start):
            return False
        self._start += len(prefix)
        self.offset += len(prefix)
        return True

    def skip_prefix(self, *, null_bytes: bool = False) -> bool:
        """Drops a byte order mark before the first line, and with `null_bytes` also NUL bytes before it.

        Returns False if more bytes are needed to decide. The caller then calls it again after the next chunk.
        """
        if null_bytes:
            head = self._buffer[self._start :]
            self.drop(head[: len(head) - len(head.lstrip(b"\0"))])
        head = self._buffer[self._start : self._start + len(_BYTE_ORDER_MARK)]
        if head != _BYTE_ORDER_MARK and _BYTE_ORDER_MARK.startswith(head):
            return False
        self.drop(_BYTE_ORDER_MARK)
        return True

    def take(self, max_lines: int) -> list[Line]:
        """Returns the complete lines, at most `max_lines`."""
        lines: list[Line] = []
        if self._unterminated and not self._skip_late_terminator():
            return lines
        while len(lines) < max_lines:
            end = self._buffer.find(b"\n", self._start)
            if end < 0:
                self._consume_oversized()
                break
            lines.append(self._cut(end, 1))
        return lines

    def unterminated_line(self) -> bytes | None:
        """Returns the incomplete line, or None if it is over the limit. Called when `take` returns nothing."""
        return None if self._oversized else self._buffer[self._start :]

    def take_unterminated(self) -> Line | None:
        """Ends and returns the incomplete line as if a terminator had followed. Returns None if there is none."""
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
        if self._buffer[self._start :] in {b"", b"\r"}:
            return False
        _ = self.drop(b"\r\n") or self.drop(b"\n")
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


def is_complete_json(line: bytes) -> bool:
    """Returns whether a line is an object or list of JSON. A number or plain text may be the beginning of a line."""
    if not line.lstrip().startswith((b"{", b"[")):
        return False
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
