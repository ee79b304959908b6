"""Whether a checkpoint was written for this very file: names move when logs rotate, and inodes are used again."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from hookline.relay.sources.port import Position

HEAD = 1024


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an open file. `head` is its first HEAD bytes, or all of a shorter one."""

    device: int
    inode: int
    size: int
    head: bytes


def head_hash(head: bytes) -> bytes:
    return blake2b(head, digest_size=16, person=b"head").digest()


def belongs(position: Position, facts: FileFacts) -> bool:
    """The inode is the same, what was read of the beginning still stands there, and the file has not become shorter.

    The device is not asked: its number may change when the machine starts anew or the volume is mounted elsewhere.
    """
    return (
        position.inode == facts.inode
        and position.head_length > 0
        and position.offset <= facts.size
        and position.head_hash == head_hash(facts.head[: position.head_length])
    )


def checkpoint_for(facts: FileFacts, positions: Iterable[Position]) -> Position | None:
    """The position to go on from, whatever name it was written under; None for a file that was never read."""
    fitting = [position for position in positions if belongs(position, facts)]
    return max(fitting, key=lambda position: (position.device == facts.device, position.offset), default=None)


def reached(name: str, facts: FileFacts, *, offset: int, line: int) -> Position:
    """The position at `offset`: the head covers only what was taken, since the rest may still be rewritten."""
    head = facts.head[: min(HEAD, offset)]
    return Position(
        name=name,
        line=line,
        offset=offset,
        device=facts.device,
        inode=facts.inode,
        head_length=len(head),
        head_hash=head_hash(head),
    )
