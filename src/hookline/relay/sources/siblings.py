"""The files that a log was rotated to: what an earlier run, or an earlier look, had not read of them yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from enum import Enum, auto
from pathlib import Path

import msgspec

from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.content import Unpacked
from hookline.relay.sources.identity import HEAD, FileFacts
from hookline.relay.sources.naming import is_rotated
from hookline.relay.sources.packing import LONGEST_MAGIC, Packing, packing_of
from hookline.relay.sources.port import Position
from hookline.relay.sources.raw import RawFile, Replaced

Identity = tuple[int, int]
"""Device and inode."""


class Known(Enum):
    """What the checkpoints say of a file, as far as that is cheap to tell."""

    NOT = auto()
    UNFINISHED = auto()
    FINISHED = auto()
    PACKED = auto()  # begins like one that is known; how far that was read would take unpacking it


class Sibling(msgspec.Struct, frozen=True):
    """`modified` in nanoseconds."""

    path: str
    identity: Identity
    modified: int
    known: Known


def left_behind(
    path: str, checkpoints: Checkpoints, *, held: Collection[Identity], after: int | None = None
) -> list[str]:
    """The rotated files of the log `path` that are to be read before it, oldest first. `held` are read anyway.

    - one that a checkpoint says is unfinished;
    - those that are newer than the newest known one: they were the log itself while nobody looked. `after` is when
      that was modified last (nanoseconds), where the caller has it open.

    A log that was never read has none: its past was not asked for.
    """
    look = _Look(checkpoints)
    siblings = [one for one in map(look.at, _rotated(path)) if one is not None and one.identity not in held]
    siblings.sort(key=lambda one: (one.modified, one.path))
    newest = after
    if newest is None:
        newest = max((one.modified for one in siblings if one.known is not Known.NOT), default=None)
    # Where the log is known itself, nobody rotated it since, and what came before it was read before it.
    log = look.at(path) if after is None else None
    settled = newest is None or (log is not None and log.known is not Known.NOT)
    return [one.path for one in siblings if _is_wanted(one, None if settled else newest)]


def _is_wanted(one: Sibling, newest: int | None) -> bool:
    match one.known:
        case Known.UNFINISHED:
            return True
        case Known.FINISHED:
            return False
        case Known.NOT | Known.PACKED:
            return newest is not None and one.modified >= newest


def copy_of(path: str, position: Position, *, held: Collection[Identity]) -> str | None:
    """The rotated file of the log `path` that holds what `position` was reached in: copytruncate made it.

    None where there is none, or nothing is left to read in it.
    """
    look = _Look(Checkpoints([position]))
    siblings = [one for one in map(look.at, _rotated(path)) if one is not None and one.identity not in held]
    fitting = [one for one in siblings if one.known is not Known.NOT]
    newest = max(fitting, key=lambda one: (one.modified, one.path), default=None)
    return newest.path if newest is not None and newest.known is not Known.FINISHED else None


def _rotated(path: str) -> list[str]:
    directory, name = os.path.split(path)
    try:
        names = [one.name for one in Path(directory or ".").iterdir()]
        return [str(Path(directory) / one) for one in names if is_rotated(one, name)]
    except OSError:
        return []


class _Look:
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
            return Sibling(path, (status.st_dev, status.st_ino), status.st_mtime_ns, self._known(path, descriptor))
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _known(self, path: str, descriptor: int) -> Known:
        status = os.fstat(descriptor)
        head = os.pread(descriptor, HEAD, 0)
        packed = packing_of(head[:LONGEST_MAGIC]) in {Packing.GZIP, Packing.ZSTD}
        facts = FileFacts(
            name=path,
            device=status.st_dev,
            inode=status.st_ino,
            size=None if packed else status.st_size,
            head=_unpacked_head(descriptor) if packed else head,
        )
        if packed:
            candidates = self._checkpoints.candidates(facts)
            if any((one.packed, one.inode) == (status.st_size, status.st_ino) for one in candidates):
                return Known.FINISHED
            return Known.PACKED if candidates else Known.NOT
        found = self._checkpoints.find(facts, lambda offset, length: os.pread(descriptor, length, offset))
        if found is None:
            return Known.NOT
        return Known.FINISHED if found.offset == status.st_size else Known.UNFINISHED


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
