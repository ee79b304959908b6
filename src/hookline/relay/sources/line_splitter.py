"""Cuts a stream of bytes into lines, without I/O and without ever holding an endless line."""

from __future__ import annotations

import hashlib

import msgspec

from hookline.relay.delivery_record import Line

MAX_LINE_BYTES = 1024 * 1024
KEPT_LINE_BYTES = 64 * 1024
TAIL_BYTES = 4096
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Endless:
    """A line over the limit, as it goes by: its beginning, its length, its hash and its last bytes."""

    def __init__(self) -> None:
        self.head = b""
        self.length = 0
        self.tail = b""
        self._hash = hashlib.sha256()
        self._carriage_return = b""

    def add(self, part: bytes) -> None:
        """A carriage return is held back until it is known not to belong to the terminator."""
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
    """Takes chunks in, gives lines out.

    A line ends at ``\\n``; a ``\\r`` before it is dropped. `number` and `offset` say how many lines were given out,
    and which byte comes after the last of them, `tail` holds the last bytes before that: what a checkpoint is made
    of. `unterminated`: the last line given out had no terminator, so that one may still come for it.
    """

    def __init__(self, *, number: int = 0, offset: int = 0, tail: bytes = b"", unterminated: bool = False) -> None:
        self.number = number
        self.offset = offset
        self._tail = tail[-TAIL_BYTES:]  # what was given out before the first byte of the buffer
        self._buffer = b""
        self._start = 0
        self._endless: _Endless | None = None
        self._endless_bytes = 0
        self._unterminated = unterminated

    @property
    def unfinished(self) -> int:
        """Bytes that came in and are not given out: complete lines that wait, and the beginning of one."""
        return self._endless_bytes + len(self._buffer) - self._start

    @property
    def tail(self) -> bytes:
        """The last bytes before `offset`, at most TAIL of them."""
        return (self._tail + self._buffer[max(0, self._start - TAIL_BYTES) : self._start])[-TAIL_BYTES:]

    def feed(self, chunk: bytes) -> None:
        self._tail = self.tail
        self._buffer = self._buffer[self._start :] + chunk
        self._start = 0

    def drop(self, prefix: bytes) -> bool:
        """Take `prefix` off what comes next, if it is there; it counts as read, not as a line."""
        if not self._buffer.startswith(prefix, self._start):
            return False
        self._start += len(prefix)
        self.offset += len(prefix)
        return True

    def begin(self, *, hole: bool = False) -> bool:
        """Drop what may stand before the first line: a byte order mark, and with `hole` NUL bytes before it.

        False until enough has come to tell; then it is to be called again after the next chunk.
        """
        if hole:
            here = self._buffer[self._start :]
            self.drop(here[: len(here) - len(here.lstrip(b"\0"))])
        here = self._buffer[self._start : self._start + len(_BYTE_ORDER_MARK)]
        if here != _BYTE_ORDER_MARK and _BYTE_ORDER_MARK.startswith(here):
            return False
        self.drop(_BYTE_ORDER_MARK)
        return True

    def take(self, most: int) -> list[Line]:
        """The complete lines that are there, at most so many."""
        lines: list[Line] = []
        if self._unterminated and not self._late_terminator():
            return lines
        while len(lines) < most:
            end = self._buffer.find(b"\n", self._start)
            if end < 0:
                self._note_endless()
                break
            lines.append(self._cut(end, 1))
        return lines

    def rest(self) -> bytes | None:
        """The line that has begun and not ended, None where it is over the limit. Call when `take` gives nothing."""
        return None if self._endless else self._buffer[self._start :]

    def take_rest(self) -> Line | None:
        """End the line that has begun, as if a terminator had followed. None when nothing has begun."""
        if not self.unfinished:
            return None
        line = self._cut(len(self._buffer), 0)
        self._unterminated = True
        return line

    def end_of_part(self) -> None:
        """No terminator will come any more for what was given out without one: something else follows."""
        self._unterminated = False

    def _late_terminator(self) -> bool:
        """Drop the terminator of a line that was given out without. False: that cannot be told yet."""
        if self._buffer[self._start :] in {b"", b"\r"}:
            return False
        _ = self.drop(b"\r\n") or self.drop(b"\n")
        self._unterminated = False
        return True

    def _note_endless(self) -> None:
        """What cannot become a line within the limit any more is hashed and let go."""
        # One byte more than the limit may still be the carriage return of a terminator.
        if self._endless is None and len(self._buffer) - self._start > MAX_LINE_BYTES + 1:
            self._endless = _Endless()
        if self._endless is not None:
            self._tail = self.tail
            self._endless.add(self._buffer[self._start :])
            self._endless_bytes += len(self._buffer) - self._start
            self._buffer, self._start = b"", 0

    def _cut(self, end: int, terminator: int) -> Line:
        part = self._buffer[self._start : end]
        self.number += 1
        self.offset += self._endless_bytes + len(part) + terminator
        self._start = end + terminator
        endless, self._endless, self._endless_bytes = self._endless, None, 0
        if endless is None:
            data = part[:-1] if part.endswith(b"\r") else part
            if len(data) <= MAX_LINE_BYTES:
                return Line(self.number, data, len(data))
            endless = _Endless()
        else:
            self._tail = (self._tail + endless.tail)[-TAIL_BYTES:]
        endless.add(part)
        return endless.line(self.number)


def is_complete_json(rest: bytes) -> bool:
    """Whether a line without a terminator is complete all the same: an object or a list of JSON that has its end.

    (A number, or a line of plain text, may be the beginning of a longer one.)
    """
    if not rest.lstrip().startswith((b"{", b"[")):
        return False
    try:
        msgspec.json.decode(rest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
