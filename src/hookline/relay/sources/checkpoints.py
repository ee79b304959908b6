"""What is known of how far contents were read: from the spool, and from what was read since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hookline.relay.sources.identity import FileFacts, belongs, best, digest, is_candidate
from hookline.relay.sources.port import NOWHERE, Position

MOST = 100_000
_Row = tuple[bytes, int, int]


class Checkpoints:
    """The positions of files, found by the beginning of what they were written for: as many as the spool keeps.

    Two files may hold the same (a copy beside its original). Each key is given to one open file at a time, so that
    they do not move each other's checkpoint.
    """

    def __init__(self, positions: Iterable[Position]) -> None:
        self._rows: dict[_Row, Position] = {}
        self._by_head: dict[tuple[int, bytes], set[_Row]] = {}
        self._lengths: dict[int, int] = {}
        self._taken: set[bytes] = set()
        self._last: dict[str, Position] = {}
        for position in positions:
            if position.head_length:
                self.keep(position)
            if position.inode and position.at >= self.last(position.name).at:
                self._last[position.name] = position

    def keep(self, position: Position) -> None:
        """A later position of a content replaces the earlier one."""
        row = _row(position)
        if (before := self._rows.get(row)) is not None:
            self._forget(row, before)
        elif len(self._rows) >= MOST:
            self._forget_oldest()
        self._rows[row] = position
        self._by_head.setdefault((position.head_length, position.head_hash), set()).add(row)
        self._lengths[position.head_length] = self._lengths.get(position.head_length, 0) + 1

    def _forget_oldest(self) -> None:
        """The one that was moved longest ago, but for those of files that are open."""
        oldest = next(((row, one) for row, one in self._rows.items() if one.key not in self._taken), None)
        if oldest is not None:
            self._forget(*oldest)

    def _forget(self, row: _Row, position: Position) -> None:
        del self._rows[row]
        alike = self._by_head[position.head_length, position.head_hash]
        alike.discard(row)
        if not alike:
            del self._by_head[position.head_length, position.head_hash]
        self._lengths[position.head_length] -= 1
        if not self._lengths[position.head_length]:
            del self._lengths[position.head_length]

    def candidates(self, facts: FileFacts) -> list[Position]:
        """Those that fit by name, inode and beginning."""
        return [position for position in self._beginning_like(facts.head) if is_candidate(position, facts)]

    def _beginning_like(self, head: bytes) -> Iterator[Position]:
        for length in self._lengths:
            if length <= len(head):
                for row in self._by_head.get((length, digest(head[:length])), ()):
                    yield self._rows[row]

    def find(self, facts: FileFacts, tail_at: Callable[[int, int], bytes]) -> Position | None:
        """The position to go on from; None for a content that was never read."""
        return best([one for one in self.candidates(facts) if belongs(one, facts, tail_at)], facts)

    def last(self, name: str) -> Position:
        """What an earlier run has kept last of a file under this name, also that it was empty; else NOWHERE."""
        return self._last.get(name, NOWHERE)

    def claim(self, key: bytes) -> bytes:
        """The key, if no open file has it; else nothing, which stands for a new one."""
        if not key or key in self._taken:
            return b""
        self._taken.add(key)
        return key

    def release(self, key: bytes) -> None:
        self._taken.discard(key)


def _row(position: Position) -> _Row:
    return (position.key, 0, 0) if position.key else (b"", position.device, position.inode)
