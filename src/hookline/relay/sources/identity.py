"""Whether a checkpoint was written for what is in this file: names move when logs rotate, and inodes are used again.

A file is known by what it holds: the beginning, and the bytes just before the checkpoint. The beginning alone would
take two logs with the same first lines for one; the inode alone, a new log for the deleted one whose inode it got.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import msgspec

from hookline.relay.sources.naming import are_turns
from hookline.relay.sources.port import Position

HEAD = 1024


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an open file. `head` is its first HEAD bytes, or all of a shorter one; `size` in bytes.

    Of a compressed file `head` is of what it unpacks to, and `size` is not known before its end.
    """

    name: str
    device: int
    inode: int
    size: int | None
    head: bytes


def digest(part: bytes) -> bytes:
    return blake2b(part, digest_size=16, person=b"head").digest()


def belongs(position: Position, facts: FileFacts, tail_at: Callable[[int, int], bytes]) -> bool:
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
    return digest(tail) == position.tail_hash


def is_candidate(position: Position, facts: FileFacts) -> bool:
    """As far as name, inode and beginning go: the bytes before the checkpoint are still to be compared."""
    return (
        position.head_length > 0
        and _related(position, facts)
        and position.head_hash == digest(facts.head[: position.head_length])
    )


def _related(position: Position, facts: FileFacts) -> bool:
    """The same inode; or, when that has changed (restored, copied, compressed), the same name or that of a rotated
    one; or so much the same that it can be no other content, wherever it was moved to."""
    if position.inode == facts.inode:
        return True
    ours, theirs = Path(facts.name).absolute(), Path(position.name).absolute()
    return (
        ours == theirs
        or (ours.parent == theirs.parent and are_turns(ours.name, theirs.name))
        or position.offset >= HEAD
    )


def best(fitting: list[Position], facts: FileFacts) -> Position | None:
    """Of several that belong to a file the farthest: all that comes before it was read, whatever file that was in."""
    return max(
        fitting,
        key=lambda one: (one.offset, one.inode == facts.inode, one.device == facts.device),
        default=None,
    )


def reached(facts: FileFacts, *, offset: int, line: int, tail: bytes, packed: int = 0, key: bytes = b"") -> Position:
    """The position at `offset`: the head covers only what was taken, since the rest may still be rewritten.

    Without a `key` it gets one of its own: it is the first of a content that was not known.
    """
    head = facts.head[: min(HEAD, offset)]
    head_hash, tail_hash = digest(head), digest(tail)
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
        key=key or digest(own),
    )


def pipe_position(name: str, line: int) -> Position:
    """What is kept of a pipe: how many lines came out of it, in the latest run."""
    return Position(name=name, line=line, key=digest(f"pipe {name}".encode()))
