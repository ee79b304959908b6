"""Checkpoints: the positions up to which contents were read, and the search for the one that belongs to a file.

Names change when logs rotate, and inodes are reused. A file is therefore identified by its content: its beginning,
and the bytes before the checkpoint. By the beginning alone, two logs with the same first lines would be one; by the
inode alone, a new log could be a deleted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import msgspec

from hookline.relay.sources.files.content_marks import kept_bytes, verified_offset
from hookline.relay.sources.rotated_names import are_rotations
from hookline.relay.sources.source import START_POSITION, Position

HEAD_BYTES = 1024


class FileIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of an open file. `head` are its first HEAD_BYTES, `size` is in bytes.

    For a compressed file, `head` is decompressed, and `size` is None until its end. `target` is its resolved path if
    its name is a link.
    """

    name: str
    device: int
    inode: int
    size: int | None
    head: bytes
    target: str = ""


def content_digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16, person=b"head").digest()


@lru_cache(maxsize=64)
def _head_digest(head: bytes) -> bytes:
    """Every checkpoint of a file has the same one."""
    return content_digest(head)


def is_match(position: Position, identity: FileIdentity, tail_at: Callable[[int, int], bytes]) -> bool:
    """Returns whether the file has the checkpoint's inode or name, beginning, and last bytes.

    `tail_at(offset, length)` returns bytes of the file. The device is not compared, because its number may change
    when the machine restarts.
    """
    if not is_candidate(position, identity) or (identity.size is not None and position.offset > identity.size):
        return False
    tail = tail_at(position.offset - position.tail_length, position.tail_length)
    return content_digest(tail) == position.tail_hash


def is_candidate(position: Position, identity: FileIdentity) -> bool:
    """Returns whether name, inode and beginning match. The bytes before the checkpoint are not compared yet."""
    return (
        position.head_length > 0
        and _related(position, identity)
        and position.head_hash == content_digest(identity.head[: position.head_length])
    )


def _related(position: Position, identity: FileIdentity) -> bool:
    """Returns whether the file has the same inode, otherwise (restored, copied, compressed) whether it has the same
    name, the name of a rotated file, or so long a common beginning that it cannot be other content.
    """
    if position.inode == identity.inode:
        return True
    if position.offset >= HEAD_BYTES:
        return True
    names = [position.name, position.target] if position.target else [position.name]
    ours = Path(identity.name).absolute()
    for theirs in map(Path.absolute, map(Path, names)):
        if ours == theirs or (ours.parent == theirs.parent and are_rotations(ours.name, theirs.name)):
            return True
    return False


def best_match(matches: list[Position], identity: FileIdentity) -> Position | None:
    """Returns the farthest of several matching positions, because all lines before it were read, in any file."""

    def rank(one: Position) -> tuple[int, bool, bool]:
        return one.offset, one.inode == identity.inode, one.device == identity.device

    return max(matches, key=rank, default=None)


def file_position(
    identity: FileIdentity,
    *,
    offset: int,
    line: int,
    tail: bytes,
    packed: int = 0,
    key: bytes = b"",
    marks: bytes = b"",
) -> Position:
    """Returns the position at `offset`. The head covers only bytes that were read, because others may be rewritten.

    Args:
        identity: the file.
        offset: the byte after the last line, in the decompressed content.
        line: the number of lines before `offset`.
        tail: the bytes before `offset`.
        packed: the size of a compressed file that was read to its end, otherwise 0.
        key: the identity of the content. Without a key, the content is new and gets one.
        marks: the marks of the content before `offset`.
    """
    head = identity.head[: min(HEAD_BYTES, offset)]
    head_hash, tail_hash = _head_digest(head), content_digest(tail)
    own = f"{identity.device} {identity.inode} {offset} ".encode() + head_hash + tail_hash
    return Position(
        name=identity.name,
        line=line,
        offset=offset,
        device=identity.device,
        inode=identity.inode,
        head_length=len(head),
        head_hash=head_hash,
        tail_length=len(tail),
        tail_hash=tail_hash,
        packed=packed,
        key=key or content_digest(own),
        target=identity.target,
        marks=marks,
    )


def pipe_position(name: str, line: int) -> Position:
    """Returns the position of a pipe of which the current run has read this number of lines."""
    return Position(name=name, line=line, key=content_digest(f"pipe {name}".encode()))


MAX_CHECKPOINTS = 100_000
_Row = tuple[bytes, int, int]


class Checkpoints:
    """The checkpoints of files, indexed by the beginning of their content: at most MAX_CHECKPOINTS.

    Two files may have the same content (a copy beside its original). One open file at a time can claim a key, so that
    they do not move each other's checkpoint.
    """

    def __init__(self, positions: Iterable[Position]) -> None:
        self._rows: dict[_Row, Position] = {}
        # By length and hash of the head. Rows are keys, because a set has no order.
        self._by_head: dict[int, dict[bytes, dict[_Row, None]]] = {}
        self._by_file: dict[int | str, dict[_Row, None]] = {}  # by inode and by name
        self._claimed: set[bytes] = set()
        self._last: dict[str, Position] = {}
        # In an order that depends on no inode number: keys and the spool's order of equal rows contain them.
        for position in sorted(positions, key=lambda one: (one.at, one.name, one.offset)):
            if position.head_length:
                self.keep(position)
            if position.inode and position.at >= self.last(position.name).at:
                self._last[position.name] = position

    def keep(self, position: Position) -> None:
        """Stores a position. It replaces the earlier position of the same content."""
        row = (position.key, 0, 0) if position.key else (b"", position.device, position.inode)
        if (before := self._rows.get(row)) is not None:
            self._remove(row, before)
        elif len(self._rows) >= MAX_CHECKPOINTS:
            # The checkpoint that was unchanged for the longest time, except those of open files.
            open_files = self._claimed
            oldest = next(((row, one) for row, one in self._rows.items() if one.key not in open_files), None)
            if oldest is not None:
                self._remove(*oldest)
        self._rows[row] = position
        self._by_head.setdefault(position.head_length, {}).setdefault(position.head_hash, {})[row] = None
        for file in (position.inode, position.name):
            self._by_file.setdefault(file, {})[row] = None

    def _remove(self, row: _Row, position: Position) -> None:
        del self._rows[row]
        heads = self._by_head[position.head_length]
        rows = heads[position.head_hash]
        del rows[row]
        if not rows:
            del heads[position.head_hash]
        if not heads:
            del self._by_head[position.head_length]
        for file in (position.inode, position.name):
            if row in (rows := self._by_file.get(file, {})):
                del rows[row]
            if not rows:
                self._by_file.pop(file, None)

    def candidates(self, identity: FileIdentity) -> list[Position]:
        """Returns the positions that match by name, inode and beginning."""
        found: list[Position] = []
        for length, heads in self._by_head.items():
            if length <= len(identity.head):
                rows = heads.get(content_digest(identity.head[:length]), ())
                found += [self._rows[row] for row in rows if is_candidate(self._rows[row], identity)]
        return found

    def find(self, identity: FileIdentity, tail_at: Callable[[int, int], bytes]) -> Position | None:
        """Returns the position to continue from, or None for content that was never read."""
        return best_match([one for one in self.candidates(identity) if is_match(one, identity, tail_at)], identity)

    def find_longer(
        self, identity: FileIdentity, tail_at: Callable[[int, int], bytes]
    ) -> tuple[Position | None, int]:
        """Returns the position in a file that has lost the content before it, and up to where the file is the same as
        before. If there is none, returns None and 0.

        The position is beyond the end of the file, or behind NUL bytes in the place of the lost content.
        """
        rows = {**self._by_file.get(identity.inode, {}), **self._by_file.get(identity.name, {})}
        found: list[tuple[int, int, Position]] = []
        for one in (self._rows[row] for row in rows if self._rows[row].marks):
            kept = kept_bytes(one.offset, identity.size or 0, tail_at)
            if kept < one.offset:
                found.append((verified_offset(one.marks, kept, tail_at), one.offset, one))
        verified, _, position = max(found, key=lambda one: one[:2], default=(0, 0, START_POSITION))
        return (position, verified) if verified else (None, 0)

    def last(self, name: str) -> Position:
        """Returns the last position of an earlier run under this name, also of an empty file, or START_POSITION."""
        return self._last.get(name, START_POSITION)

    def claim(self, key: bytes) -> bytes:
        """Claims and returns the key, or returns an empty key (for a new one) if an open file has claimed it."""
        if not key or key in self._claimed:
            return b""
        self._claimed.add(key)
        return key

    def is_claimed(self, key: bytes) -> bool:
        return key in self._claimed

    def release(self, key: bytes) -> None:
        self._claimed.discard(key)
