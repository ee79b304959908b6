"""Finds out, while a stream goes by, which checkpoint was written for it: for what cannot be read at any place."""

from __future__ import annotations

from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.identity import HEAD, FileFacts, best, ends_like
from hookline.relay.sources.lines import TAIL
from hookline.relay.sources.port import Position


class Locator:
    """Is fed a stream from its beginning until it is decided which position belongs to it.

    `file` has the name, the inode and the compressed size of what the stream is read from. `passed` counts the bytes
    that went by; it stops at the last position in question. `read_before`: it was read to its end, at this size.
    """

    def __init__(self, checkpoints: Checkpoints, file: FileFacts) -> None:
        self._checkpoints = checkpoints
        self._file = file
        self._head = b""
        self._recent = b""
        self._waiting: list[Position] | None = None  # still to be passed, nearest first; None: the head is not there
        self._fitting: dict[Position, bytes] = {}  # and the bytes before each
        self.passed = 0
        self.read_before = False

    @property
    def decided(self) -> bool:
        return self._waiting == []

    @property
    def head(self) -> bytes:
        return self._head

    @property
    def found(self) -> Position | None:
        return best(list(self._fitting), self._file)

    def tail_of(self, found: Position) -> bytes:
        """The bytes before the position that was found; unknown, thus none, of a file that was read before."""
        return self._fitting[found]

    def feed(self, chunk: bytes) -> bytes:
        """What of the chunk comes after the last position in question; once that is reached, or nothing was found."""
        if self._waiting is None:
            self._head += chunk
            if len(self._head) < HEAD:
                return b""
            chunk = self._decide_head()
        while self._waiting:
            ahead = self._waiting[0].offset - self.passed
            if len(chunk) < ahead:
                self._pass(chunk)
                return b""
            self._pass(chunk[:ahead])
            chunk = chunk[ahead:]
            self._compare(self._waiting.pop(0))
        return chunk

    def end(self) -> bytes:
        """The stream is over: what is still in question does not fit. Gives what was held back of the beginning."""
        rest = self.feed(self._decide_head()) if self._waiting is None else b""
        self._waiting = []
        return rest

    def _decide_head(self) -> bytes:
        """Choose what is in question, and give back what was held: it is still to go by."""
        held = self._head
        self._head = held[:HEAD]
        facts = FileFacts(
            name=self._file.name, device=self._file.device, inode=self._file.inode, size=None, head=self._head
        )
        candidates = self._checkpoints.candidates(facts)
        self._waiting = sorted(candidates, key=lambda one: one.offset)
        for one in candidates:
            if one.packed and (one.packed, one.inode) == (self._file.size, self._file.inode):
                self._waiting, self._fitting, self.read_before = [], {one: b""}, True
        return held

    def _pass(self, part: bytes) -> None:
        self.passed += len(part)
        self._recent = (self._recent + part[-TAIL:])[-TAIL:]

    def _compare(self, position: Position) -> None:
        if ends_like(position, self._recent[len(self._recent) - position.tail_length :]):
            self._fitting[position] = self._recent
