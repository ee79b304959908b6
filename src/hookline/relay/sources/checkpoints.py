"""What is known of how far contents were read: from the spool, and from what was read since."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from hookline.relay.sources.line_splitter import TAIL_BYTES
from hookline.relay.sources.rotated_names import are_rotations
from hookline.relay.sources.source import START_POSITION, Position

# Whether a checkpoint was written for what is in this file: names move when logs rotate, and inodes are used again.
#
# A file is known by what it holds: the beginning, and the bytes just before the checkpoint. The beginning alone would
# take two logs with the same first lines for one; the inode alone, a new log for the deleted one whose inode it got.
HEAD_BYTES = 1024


class FileIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an open file. `head` is its first HEAD bytes, or all of a shorter one; `size` in bytes.

    Of a compressed file `head` is of what it unpacks to, and `size` is not known before its end.
    """

    name: str
    device: int
    inode: int
    size: int | None
    head: bytes


def content_digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16, person=b"head").digest()


def is_match(position: Position, facts: FileIdentity, tail_at: Callable[[int, int], bytes]) -> bool:
    """What was read of the beginning still stands there, and so does what was read last; and there is a relation.

    `tail_at(offset, length)` gives bytes of the file. The device is not asked: its number may change when the
    machine starts anew.
    """
    return (
        is_candidate(position, facts)
        and (facts.size is None or position.offset <= facts.size)
        and ends_like(position, tail_at(position.offset - position.tail_length, position.tail_length))
    )


def ends_like(position: Position, tail: bytes) -> bool:
    """Whether the bytes before the checkpoint are these."""
    return content_digest(tail) == position.tail_hash


def is_candidate(position: Position, facts: FileIdentity) -> bool:
    """As far as name, inode and beginning go: the bytes before the checkpoint are still to be compared."""
    return (
        position.head_length > 0
        and _related(position, facts)
        and position.head_hash == content_digest(facts.head[: position.head_length])
    )


def _related(position: Position, facts: FileIdentity) -> bool:
    """The same inode; or, when that has changed (restored, copied, compressed), the same name or that of a rotated
    one; or so much the same that it can be no other content, wherever it was moved to."""
    if position.inode == facts.inode:
        return True
    ours, theirs = Path(facts.name).absolute(), Path(position.name).absolute()
    return (
        ours == theirs
        or (ours.parent == theirs.parent and are_rotations(ours.name, theirs.name))
        or position.offset >= HEAD_BYTES
    )


def best_match(fitting: list[Position], facts: FileIdentity) -> Position | None:
    """Of several that belong to a file the farthest: all that comes before it was read, whatever file that was in."""
    return max(
        fitting,
        key=lambda one: (one.offset, one.inode == facts.inode, one.device == facts.device),
        default=None,
    )


def file_position(
    facts: FileIdentity, *, offset: int, line: int, tail: bytes, packed: int = 0, key: bytes = b""
) -> Position:
    """The position at `offset`: the head covers only what was taken, since the rest may still be rewritten.

    Without a `key` it gets one of its own: it is the first of a content that was not known.
    """
    head = facts.head[: min(HEAD_BYTES, offset)]
    head_hash, tail_hash = content_digest(head), content_digest(tail)
    own = f"{facts.device} {facts.inode} {offset} ".encode() + head_hash + tail_hash
    return Position(
        name=facts.name,
        line=line,
        offset=offset,
        device=facts.device,
        inode=facts.inode,
        head_length=len(head),
        head_hash=head_hash,
        tail_length=len(tail),
        tail_hash=tail_hash,
        packed=packed,
        key=key or content_digest(own),
    )


def pipe_position(name: str, line: int) -> Position:
    """What is kept of a pipe: how many lines came out of it, in the latest run."""
    return Position(name=name, line=line, key=content_digest(f"pipe {name}".encode()))


MAX_CHECKPOINTS = 100_000
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
        elif len(self._rows) >= MAX_CHECKPOINTS:
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

    def candidates(self, facts: FileIdentity) -> list[Position]:
        """Those that fit by name, inode and beginning."""
        return [position for position in self._beginning_like(facts.head) if is_candidate(position, facts)]

    def _beginning_like(self, head: bytes) -> Iterator[Position]:
        for length in self._lengths:
            if length <= len(head):
                for row in self._by_head.get((length, content_digest(head[:length])), ()):
                    yield self._rows[row]

    def find(self, facts: FileIdentity, tail_at: Callable[[int, int], bytes]) -> Position | None:
        """The position to go on from; None for a content that was never read."""
        return best_match([one for one in self.candidates(facts) if is_match(one, facts, tail_at)], facts)

    def last(self, name: str) -> Position:
        """What an earlier run has kept last of a file under this name, also that it was empty; else NOWHERE."""
        return self._last.get(name, START_POSITION)

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


# Finds out, while a stream goes by, which checkpoint was written for it: for what cannot be read at any place.
class CheckpointMatcher:
    """Is fed a stream from its beginning until it is decided which position belongs to it.

    `file` has the name, the inode and the compressed size of what the stream is read from. `passed` counts the bytes
    that went by; it stops at the last position in question. `read_before`: it was read to its end, at this size.
    """

    def __init__(self, checkpoints: Checkpoints, file: FileIdentity) -> None:
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
        return best_match(list(self._fitting), self._file)

    def tail_of(self, found: Position) -> bytes:
        """The bytes before the position that was found; unknown, thus none, of a file that was read before."""
        return self._fitting[found]

    def feed(self, chunk: bytes) -> bytes:
        """What of the chunk comes after the last position in question; once that is reached, or nothing was found."""
        if self._waiting is None:
            self._head += chunk
            if len(self._head) < HEAD_BYTES:
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
        self._head = held[:HEAD_BYTES]
        facts = FileIdentity(
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
        self._recent = (self._recent + part[-TAIL_BYTES:])[-TAIL_BYTES:]

    def _compare(self, position: Position) -> None:
        if ends_like(position, self._recent[len(self._recent) - position.tail_length :]):
            self._fitting[position] = self._recent
