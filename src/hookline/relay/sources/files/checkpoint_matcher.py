"""The checkpoint of a compressed stream, which can only be read from its beginning."""

from __future__ import annotations

import msgspec

from hookline.relay.sources.checkpoints import HEAD_BYTES, Checkpoints, FileIdentity, best_match, content_digest
from hookline.relay.sources.line_splitter import TAIL_BYTES
from hookline.relay.sources.source import Position


class CheckpointMatcher:
    """Finds the checkpoint of a stream, which can only be read from its beginning.

    Feed it the stream until `is_decided`. `file` has the name, the inode and the compressed size of the file.

    Attributes:
        head: the first HEAD_BYTES of the stream; more while it is undecided.
        matches: the matching positions, with the bytes before each (none for a file that was fully read).
        passed_bytes: the bytes of the stream up to the last candidate.
        was_fully_read: the file was read to its end, at its current size.
    """

    def __init__(self, checkpoints: Checkpoints, file: FileIdentity) -> None:
        self._checkpoints = checkpoints
        self._file = file
        self.head = b""
        self._recent = b""
        self._remaining: list[Position] | None = None  # candidates, nearest first; None before the head is complete
        self.matches: dict[Position, bytes] = {}
        self.passed_bytes = 0
        self.was_fully_read = False

    @property
    def is_decided(self) -> bool:
        return self._remaining == []

    @property
    def found(self) -> Position | None:
        return best_match(list(self.matches), self._file)

    def feed(self, chunk: bytes) -> bytes:
        """Returns the part of the chunk after the last candidate, or the whole chunk if no candidate remains."""
        if self._remaining is None:
            self.head += chunk
            if len(self.head) < HEAD_BYTES:
                return b""
            chunk = self._decide_head()
        while self._remaining:
            distance = self._remaining[0].offset - self.passed_bytes
            if len(chunk) < distance:
                self._advance(chunk)
                return b""
            self._advance(chunk[:distance])
            chunk = chunk[distance:]
            one = self._remaining.pop(0)
            if one.tail_hash == content_digest(self._recent[len(self._recent) - one.tail_length :]):
                self.matches[one] = self._recent
        return chunk

    def end(self) -> bytes:
        """Ends the stream: remaining candidates do not match. Returns the buffered bytes after the last candidate."""
        remainder = self.feed(self._decide_head()) if self._remaining is None else b""
        self._remaining = []
        return remainder

    def _decide_head(self) -> bytes:
        """Selects the candidates by the head. Returns the buffered bytes, which are then compared."""
        buffered = self.head
        self.head = buffered[:HEAD_BYTES]
        candidates = self._checkpoints.candidates(msgspec.structs.replace(self._file, size=None, head=self.head))
        self._remaining = sorted(candidates, key=lambda one: one.offset)
        for one in candidates:
            if one.packed and (one.packed, one.inode) == (self._file.size, self._file.inode):
                self._remaining, self.matches, self.was_fully_read = [], {one: b""}, True
        return buffered

    def _advance(self, part: bytes) -> None:
        self.passed_bytes += len(part)
        self._recent = (self._recent + part[-TAIL_BYTES:])[-TAIL_BYTES:]
