"""The files that a log was rotated to: what an earlier run, or an earlier look, had not read of them yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path

import msgspec

from hookline.relay.sources.checkpoints import HEAD_BYTES, CheckpointMatcher, Checkpoints, FileIdentity
from hookline.relay.sources.decompression import MAX_MAGIC_BYTES, Compression, compression_of
from hookline.relay.sources.file_content import DecompressedContent, FileReplaced, RawFile
from hookline.relay.sources.rotated_names import display_name, is_rotated, rotation_number, unpacked_name
from hookline.relay.sources.source import START_POSITION, Position

# Looks at a file for a moment, to compare it with the checkpoints.
_PIECE = 256 * 1024

InodeIdentity = tuple[int, int]
"""Device and inode."""


class ReadProgress(Enum):
    """What the checkpoints say of a file, as far as that is cheap to tell."""

    NOT = auto()
    UNFINISHED = auto()
    FINISHED = auto()
    PACKED = auto()  # begins like one that is known; how far that was read would take unpacking it


class RotatedFile(msgspec.Struct, frozen=True):
    """`modified` in nanoseconds. `key` is that of its checkpoint, and `in_place`: that was written for this inode."""

    path: str
    identity: InodeIdentity
    modified: int
    known: ReadProgress
    key: bytes = b""
    in_place: bool = False


class FileInspector:
    """Opens a file for a moment, to compare it with the checkpoints."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def at(self, path: str) -> RotatedFile | None:
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
            facts = FileIdentity(
                name=display_name(path), device=status.st_dev, inode=status.st_ino, size=status.st_size, head=b""
            )
            locator, content = CheckpointMatcher(self._checkpoints, facts), DecompressedContent(RawFile(descriptor))
            while not locator.decided:
                if piece := content.next(_PIECE):
                    locator.feed(piece)
                else:
                    locator.end()
        except (OSError, FileReplaced):
            return False
        else:
            return locator.found is not None
        finally:
            os.close(descriptor)

    def _sibling(self, path: str, descriptor: int, status: os.stat_result) -> RotatedFile:
        head = os.pread(descriptor, HEAD_BYTES, 0)
        packed = compression_of(head[:MAX_MAGIC_BYTES]) in {Compression.GZIP, Compression.ZSTD}
        facts = FileIdentity(
            name=display_name(path),
            device=status.st_dev,
            inode=status.st_ino,
            size=None if packed else status.st_size,
            head=_unpacked_head(descriptor) if packed else head,
        )
        one = RotatedFile(path, (status.st_dev, status.st_ino), status.st_mtime_ns, ReadProgress.NOT)
        if packed:
            candidates = self._checkpoints.candidates(facts)
            finished = any((known.packed, known.inode) == (status.st_size, status.st_ino) for known in candidates)
            known = ReadProgress.FINISHED if finished else ReadProgress.PACKED if candidates else ReadProgress.NOT
            return msgspec.structs.replace(one, known=known)
        found = self._checkpoints.find(facts, lambda offset, length: os.pread(descriptor, length, offset))
        if found is None:
            return one
        known = ReadProgress.FINISHED if found.offset == status.st_size else ReadProgress.UNFINISHED
        return msgspec.structs.replace(one, known=known, key=found.key, in_place=found.inode == status.st_ino)


def _unpacked_head(descriptor: int) -> bytes:
    content = DecompressedContent(RawFile(descriptor))
    head = b""
    while len(head) < HEAD_BYTES:
        try:
            piece = content.next(HEAD_BYTES - len(head))
        except FileReplaced:
            break
        if not piece:
            break
        head += piece
    return head


LOST_MESSAGE = "last read file not found: rotated files may be unread"
MAX_TRIES = 20  # to see files in one moment, while a rotation renames them
_COARSE = 2.0  # seconds by which the time of a file's change may be behind, on some file systems


class UnreadFiles(msgspec.Struct, frozen=True):
    """What is to be read before a log, oldest first.

    `newest`: when the newest file that is known was modified (nanoseconds; None: none is), for another search.
    `log`: what stood under the log's name meanwhile. Whoever opens one of these has to see that it is still that.
    `lost`: the log was read by an earlier run, and nothing that is here now.
    """

    files: list[RotatedFile]
    newest: int | None
    log: InodeIdentity | None
    lost: bool


def find_unread_files(
    path: str,
    checkpoints: Checkpoints,
    *,
    held: Collection[InodeIdentity],
    after: int | None = None,
    wanted: Collection[InodeIdentity] = (),
) -> UnreadFiles:
    """The rotated files of the log `path` that are to be read before it. `held` are read anyway.

    - one that a checkpoint says is unfinished, or that an earlier search has `wanted`;
    - those that are newer than the newest known one: they were the log itself while nobody looked. `after` is when
      that was modified last (nanoseconds), where the caller has it open. Where none is left that is known, the last
      checkpoint was written at some time, and they are newer than that.

    A log that was never read has none: its past was not asked for.
    """
    look = FileInspector(checkpoints)
    there = _seen_at_once(path, look)
    log = next((one for one in there if one.path == path), None)
    last = checkpoints.last(display_name(path))
    siblings = [one for one in _without_doubles(there) if one.path != path and one.identity not in held]
    siblings.sort(key=lambda one: (one.modified, rotation_number(one.path)))
    newest, later, lost = after, frozenset[InodeIdentity](), False
    # Where the log is known itself, nobody rotated it since, and what came before it was read before it.
    if newest is None and not (log is not None and log.in_place):
        siblings = _with_newest_made_out(siblings, look)
        siblings, later = _with_clock_set_back(siblings, log)
        newest = max((one.modified for one in siblings if one.known is not ReadProgress.NOT), default=None)
        if newest is None and last is not START_POSITION:
            newest = int((last.at - _COARSE) * 1e9)
            lost = all(one.known is ReadProgress.NOT for one in there) and not _may_be_among(there, last)
    wanted = {*wanted, *later}
    files = [one for one in siblings if one.identity in wanted or _is_wanted(one, newest)]
    return UnreadFiles(files, newest, log.identity if log else None, lost)


def _is_read(one: RotatedFile) -> bool:
    return one.known in {ReadProgress.UNFINISHED, ReadProgress.FINISHED}


def _may_be_among(there: list[RotatedFile], last: Position) -> bool:
    """Whether a file that was empty when it was seen last may be there: its inode is all that it is known by."""
    return last.offset == 0 and any(
        one.identity[1] == last.inode or unpacked_name(one.path) != one.path for one in there
    )


def _with_clock_set_back(
    siblings: list[RotatedFile], log: RotatedFile | None
) -> tuple[list[RotatedFile], frozenset[InodeIdentity]]:
    """Where a file that was read is newer than the log, the clock was set back, and names say what came after it.

    Gives the files in their order, and those that came after.
    """
    known = {one.identity for one in siblings if _is_read(one)}
    if log is None or not any(one.identity in known and one.modified > log.modified for one in siblings):
        return siblings, frozenset()
    siblings = sorted(siblings, key=lambda one: rotation_number(one.path))
    newest = max(index for index, one in enumerate(siblings) if one.identity in known)
    return siblings, frozenset(one.identity for one in siblings[newest + 1 :])


def _seen_at_once(path: str, look: FileInspector) -> list[RotatedFile]:
    """The log and its rotated files as they stood at one moment, not as a rotation was moving them."""
    there: list[RotatedFile] = []
    for _ in range(MAX_TRIES):
        before = _names_of(path)
        there = [one for one in map(look.at, before) if one is not None]
        if before == _names_of(path):
            break
    return there


def _without_doubles(there: list[RotatedFile]) -> list[RotatedFile]:
    """Files that begin alike may all fit to a checkpoint that was reached early. It was written for one of them:

    the one in whose inode it still is, else the newest.
    """
    owners: dict[bytes, RotatedFile] = {}
    for one in sorted(there, key=lambda one: (one.in_place, one.modified)):
        owners[one.key] = one
    return [
        one if not one.key or owners[one.key] is one else msgspec.structs.replace(one, known=ReadProgress.NOT)
        for one in there
    ]


def _with_newest_made_out(siblings: list[RotatedFile], look: FileInspector) -> list[RotatedFile]:
    """Go back through the compressed ones until one is known for certain: logs with a long header all begin alike."""
    made_out = list(siblings)
    for index in range(len(made_out) - 1, -1, -1):
        one = made_out[index]
        if _is_read(one) or (one.known is ReadProgress.PACKED and look.is_known(one.path)):
            break
        made_out[index] = msgspec.structs.replace(one, known=ReadProgress.NOT)
    return made_out


def _is_wanted(one: RotatedFile, newest: int | None) -> bool:
    match one.known:
        case ReadProgress.UNFINISHED:
            return True
        case ReadProgress.FINISHED:
            return False
        case ReadProgress.NOT | ReadProgress.PACKED:
            return newest is not None and one.modified >= newest


def find_rotated(path: str, identity: InodeIdentity, *, last_seen: str) -> tuple[str, os.stat_result | None]:
    """The name that a file of the log `path` has among the rotated ones, and its status; None where it has none."""
    for name in _possible_names(path, identity, last_seen):
        with suppress(OSError):
            status = Path(name).stat()
            if (status.st_dev, status.st_ino) == identity:
                return name, status
    return last_seen, None


def _possible_names(path: str, identity: InodeIdentity, last_seen: str) -> Iterator[str]:
    if is_rotated(Path(last_seen).name, Path(path).name):
        yield last_seen  # the directory need not be searched each time
    yield from (name for name, there in _names_of(path).items() if there == identity)


def _names_of(path: str) -> dict[str, InodeIdentity]:
    """What stands under the log's name and those of its rotated files."""
    directory, name = os.path.split(path)
    found: dict[str, InodeIdentity] = {}
    with suppress(OSError):
        for one in Path(directory or ".").iterdir():
            if one.name == name or is_rotated(one.name, name):
                with suppress(OSError):
                    status = one.stat()
                    known_as = path if one.name == name else str(Path(directory) / one.name)
                    found[known_as] = (status.st_dev, status.st_ino)
    # Whoever compresses a file removes it once the archive is whole: until then the archive may be half of it.
    unpacked = {one: unpacked_name(one) for one in found}
    return {one: found[one] for one in found if unpacked[one] in {one, path} or unpacked[one] not in found}
