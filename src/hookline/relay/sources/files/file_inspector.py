"""How far the files of a log were read, found out by comparing each with the checkpoints."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

import msgspec

from hookline.relay.sources.checkpoints import HEAD_BYTES, FileIdentity
from hookline.relay.sources.decompression import PACKED, compression_of
from hookline.relay.sources.file_content import DecompressedContent, FileReplaced, RawFile
from hookline.relay.sources.files.checkpoint_matcher import CheckpointMatcher
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.files.rotated_files import InodeIdentity
from hookline.relay.sources.files.shortened import end_of_known_content
from hookline.relay.sources.rotated_names import display_name

_PIECE_BYTES = 256 * 1024


class ReadProgress(Enum):
    """How far a file was read, by its checkpoint, as far as that is cheap to find out."""

    UNKNOWN = auto()
    UNFINISHED = auto()
    FINISHED = auto()
    COMPRESSED = auto()  # has the beginning of known content; only its decompression shows the progress


class RotatedFile(msgspec.Struct, frozen=True):
    """`modified` is in nanoseconds. `key` is that of the checkpoint, `has_same_inode` whether that has this inode.

    `is_shortened`: the file has less content than was read at the checkpoint.
    """

    path: str
    identity: InodeIdentity
    modified: int
    progress: ReadProgress
    key: bytes = b""
    has_same_inode: bool = False
    is_shortened: bool = False


class FileInspector:
    """Opens files briefly, to compare them with the checkpoints."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._checkpoints = context.checkpoints

    def inspect(self, path: str) -> RotatedFile | None:
        """Returns the file, or None if it is not a regular file or cannot be read."""
        with suppress(OSError), _opened(path) as (descriptor, status):
            if stat.S_ISREG(status.st_mode):
                return self._compare(path, descriptor, status)
        return None

    def matches_checkpoint(self, path: str) -> bool:
        """Returns whether a compressed file has the content of a checkpoint. Decompresses it up to the checkpoint."""
        with suppress(OSError, FileReplaced), _opened(path) as (descriptor, status):
            matcher = CheckpointMatcher(self._checkpoints, _identity(path, status, status.st_size))
            content = DecompressedContent(RawFile(descriptor))
            while not matcher.is_decided:
                self._context.stop.check()
                if piece := content.next(_PIECE_BYTES):
                    matcher.feed(piece)
                else:
                    matcher.end()
            return matcher.found is not None
        return False

    def _compare(self, path: str, descriptor: int, status: os.stat_result) -> RotatedFile:
        file = RotatedFile(path, (status.st_dev, status.st_ino), status.st_mtime_ns, ReadProgress.UNKNOWN)
        head = os.pread(descriptor, HEAD_BYTES, 0)
        if compression_of(head) in PACKED:
            candidates = self._checkpoints.candidates(_identity(path, status, None, _unpacked_head(descriptor)))
            if any((one.packed, one.inode) == (status.st_size, status.st_ino) for one in candidates):
                return msgspec.structs.replace(file, progress=ReadProgress.FINISHED)
            return msgspec.structs.replace(file, progress=ReadProgress.COMPRESSED) if candidates else file
        identity = _identity(path, status, status.st_size, head)

        def read_at(offset: int, length: int) -> bytes:
            return os.pread(descriptor, length, offset)

        found = self._checkpoints.find(identity, read_at)
        is_shortened = found is None
        if found is None:
            longer, verified = self._checkpoints.find_longer(identity, read_at)
            if longer is None:
                return file
            end = end_of_known_content(longer, verified, identity, status.st_mtime, read_at)
            if end is None:
                return file
            found = msgspec.structs.replace(longer, offset=end)
        return msgspec.structs.replace(
            file,
            progress=ReadProgress.FINISHED if found.offset == status.st_size else ReadProgress.UNFINISHED,
            key=found.key,
            has_same_inode=found.inode == status.st_ino,
            is_shortened=is_shortened,
        )


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield descriptor, os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _identity(path: str, status: os.stat_result, size: int | None, head: bytes = b"") -> FileIdentity:
    return FileIdentity(name=display_name(path), device=status.st_dev, inode=status.st_ino, size=size, head=head)


def _unpacked_head(descriptor: int) -> bytes:
    content = DecompressedContent(RawFile(descriptor))
    head = b""
    with suppress(FileReplaced):
        while len(head) < HEAD_BYTES and (piece := content.next(HEAD_BYTES - len(head))):
            head += piece
    return head
