"""Cuts a stream of bytes into lines, without I/O and without ever holding an endless line."""

from __future__ import annotations

import hashlib

from hookline.relay.fates import Line

LONGEST = 1024 * 1024
KEPT = 64 * 1024


class _Endless:
    """A line over the limit, as it goes by: its beginning, its length and its hash."""

    def __init__(self) -> None:
        self.head = b""
        self.length = 0
        self._hash = hashlib.sha256()
        self._carriage_return = b""

    def add(self, part: bytes) -> None:
        """A carriage return is held back until it is known not to belong to the terminator."""
        part = self._carriage_return + part
        self._carriage_return = b"\r" if part.endswith(b"\r") else b""
        part = part.removesuffix(b"\r")
        if len(self.head) < KEPT:
            self.head += part[: KEPT - len(self.head)]
        self.length += len(part)
        self._hash.update(part)

    def line(self, number: int) -> Line:
        return Line(number, self.head, self.length, self._hash.digest())


class LineCutter:
    """Takes chunks in, gives lines out.

    A line ends at ``\\n``; a ``\\r`` before it is dropped. `number` and `offset` say how many lines were given out,
    and which byte comes after the last of them: what a checkpoint holds.
    """

    def __init__(self, *, number: int = 0, offset: int = 0) -> None:
        self.number = number
        self.offset = offset
        self._buffer = b""
        self._start = 0
        self._endless: _Endless | None = None
        self._endless_bytes = 0

    @property
    def unfinished(self) -> int:
        """Bytes that came in and are not given out: complete lines that wait, and the beginning of one."""
        return self._endless_bytes + len(self._buffer) - self._start

    def feed(self, chunk: bytes) -> None:
        self._buffer = self._buffer[self._start :] + chunk
        self._start = 0

    def drop(self, prefix: bytes) -> bool:
        """Take `prefix` off what comes next, if it is there; it counts as read, not as a line."""
        if not self._buffer.startswith(prefix, self._start):
            return False
        self._start += len(prefix)
        self.offset += len(prefix)
        return True

    def take(self, most: int) -> list[Line]:
        """The complete lines that are there, at most so many."""
        lines: list[Line] = []
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
        return self._cut(len(self._buffer), 0) if self.unfinished else None

    def _note_endless(self) -> None:
        """What cannot become a line within the limit any more is hashed and let go."""
        # One byte more than the limit may still be the carriage return of a terminator.
        if self._endless is None and len(self._buffer) - self._start > LONGEST + 1:
            self._endless = _Endless()
        if self._endless is not None:
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
            if len(data) <= LONGEST:
                return Line(self.number, data, len(data))
            endless = _Endless()
        endless.add(part)
        return endless.line(self.number)
