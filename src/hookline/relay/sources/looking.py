"""Looks at a file for a moment, to compare it with the checkpoints."""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

import msgspec

from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.content import Unpacked
from hookline.relay.sources.identity import HEAD, FileFacts
from hookline.relay.sources.locating import Locator
from hookline.relay.sources.naming import shown
from hookline.relay.sources.packing import LONGEST_MAGIC, Packing, packing_of
from hookline.relay.sources.raw import RawFile, Replaced

_PIECE = 256 * 1024

Identity = tuple[int, int]
"""Device and inode."""


class Known(Enum):
    """What the checkpoints say of a file, as far as that is cheap to tell."""

    NOT = auto()
    UNFINISHED = auto()
    FINISHED = auto()
    PACKED = auto()  # begins like one that is known; how far that was read would take unpacking it


class Sibling(msgspec.Struct, frozen=True):
    """`modified` in nanoseconds. `key` is that of its checkpoint, and `in_place`: that was written for this inode."""

    path: str
    identity: Identity
    modified: int
    known: Known
    key: bytes = b""
    in_place: bool = False


class Look:
    """Opens a file for a moment, to compare it with the checkpoints."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def at(self, path: str) -> Sibling | None:
        """None for what is no regular file, or cannot be read (now)."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            return self._sibling(path, descriptor, status)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def is_known(self, path: str) -> bool:
        """Whether a compressed file holds what a checkpoint was reached in, found out by unpacking it up to there."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            facts = FileFacts(
                name=shown(path), device=status.st_dev, inode=status.st_ino, size=status.st_size, head=b""
            )
            locator, content = Locator(self._checkpoints, facts), Unpacked(RawFile(descriptor))
            while not locator.decided:
                if piece := content.next(_PIECE):
                    locator.feed(piece)
                else:
                    locator.end()
        except (OSError, Replaced):
            return False
        else:
            return locator.found is not None
        finally:
            os.close(descriptor)

    def _sibling(self, path: str, descriptor: int, status: os.stat_result) -> Sibling:
        head = os.pread(descriptor, HEAD, 0)
        packed = packing_of(head[:LONGEST_MAGIC]) in {Packing.GZIP, Packing.ZSTD}
        facts = FileFacts(
            name=shown(path),
            device=status.st_dev,
            inode=status.st_ino,
            size=None if packed else status.st_size,
            head=_unpacked_head(descriptor) if packed else head,
        )
        one = Sibling(path, (status.st_dev, status.st_ino), status.st_mtime_ns, Known.NOT)
        if packed:
            candidates = self._checkpoints.candidates(facts)
            finished = any((known.packed, known.inode) == (status.st_size, status.st_ino) for known in candidates)
            known = Known.FINISHED if finished else Known.PACKED if candidates else Known.NOT
            return msgspec.structs.replace(one, known=known)
        found = self._checkpoints.find(facts, lambda offset, length: os.pread(descriptor, length, offset))
        if found is None:
            return one
        known = Known.FINISHED if found.offset == status.st_size else Known.UNFINISHED
        return msgspec.structs.replace(one, known=known, key=found.key, in_place=found.inode == status.st_ino)


def _unpacked_head(descriptor: int) -> bytes:
    content = Unpacked(RawFile(descriptor))
    head = b""
    while len(head) < HEAD:
        try:
            piece = content.next(HEAD - len(head))
        except Replaced:
            break
        if not piece:
            break
        head += piece
    return head
