"""A partition that this relay reads, and the lines of it that wait for the ingester."""

from __future__ import annotations

import hashlib
from collections import deque

from hookline.relay.delivery_record import Line
from hookline.relay.sources.line_splitter import KEPT_LINE_BYTES, MAX_LINE_BYTES
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, MAX_LINES_PER_BATCH


def message_line(offset: int, value: bytes | None) -> Line:
    """Returns a message as a line, with its offset as its number. A message without a value is an empty line."""
    data = (value or b"").removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > MAX_LINE_BYTES:
        return Line(offset, data[:KEPT_LINE_BYTES], len(data), hashlib.sha256(data).digest())
    return Line(offset, data, len(data))


class Partition:
    """A partition from its assignment until it is revoked.

    Attributes:
        number: the number in the topic.
        is_placed: it is known where reading continues. Otherwise messages are not taken.
        follows: the offset of the stored position, once the lines that were handed out are stored.
        next_offset: the offset after the last message.
        high: the offset after the last message of the log, as far as it is known.
        end: the offset at which reading ends, or None if the partition is followed.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_placed = False
        self.follows = self.next_offset = self.high = 0
        self.end: int | None = None
        self._lines: deque[Line] = deque()
        self._bytes = 0

    @property
    def waiting_lines(self) -> int:
        return len(self._lines)

    @property
    def waiting_bytes(self) -> int:
        return self._bytes

    @property
    def unread_messages(self) -> int:
        """The messages that were not handed out, as far as they are known. Gaps of the log count as messages."""
        return len(self._lines) + max(0, self.high - self.next_offset)

    @property
    def is_finished(self) -> bool:
        """Whether all lines before the end were handed out."""
        return self.is_placed and not self._lines and self.is_at_end

    @property
    def is_at_end(self) -> bool:
        return self.end is not None and self.next_offset >= self.end

    def place(self, *, follows: int, offset: int, high: int, end: int | None) -> None:
        """Reading starts at `offset`. The other arguments are the attributes."""
        self.drop_lines()
        self.is_placed = True
        self.follows, self.next_offset, self.high, self.end = follows, offset, high, end

    def drop_lines(self) -> None:
        """Forgets the lines that were not handed out. The start has to be found again."""
        self.is_placed = False
        self._lines.clear()
        self._bytes = 0

    def add(self, offset: int, value: bytes | None) -> int:
        """Adds a message, unless it is before the next one or after the end. Returns its bytes."""
        if not self.is_placed or offset < self.next_offset:
            return 0
        if self.is_at_end:
            return 0
        if self.end is not None and offset >= self.end:
            self.next_offset = self.end
            return 0
        line = message_line(offset, value)
        self._lines.append(line)
        self._bytes += len(line.data)
        self.next_offset = offset + 1
        return line.length

    def skip_to(self, offset: int) -> None:
        """No message is before `offset`: the offsets up to it belong to transactions, or were compacted."""
        if self.is_placed:
            self.next_offset = self.high = max(self.next_offset, offset)

    def take(self) -> tuple[list[Line], int, int]:
        """Returns the lines of the next batch, the offset that it follows, and the one after it."""
        lines, room = list[Line](), MAX_BYTES_PER_BATCH
        while self._lines and len(lines) < MAX_LINES_PER_BATCH and room > 0:
            line = self._lines.popleft()
            lines.append(line)
            room -= len(line.data)
            self._bytes -= len(line.data)
        follows, self.follows = self.follows, lines[-1].number + 1
        return lines, follows, self.follows
