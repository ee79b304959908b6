"""Files with less content than was read: they have lost their tail (a power cut, a file server that failed), perhaps
with NUL bytes in its place, or they are copies that are not complete yet.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

from hookline.relay.sources.checkpoints import Checkpoints, FileIdentity, file_position
from hookline.relay.sources.file_content import FileReplaced
from hookline.relay.sources.files.content_marks import ContentMarks, ReadAt
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.line_splitter import TAIL_BYTES
from hookline.relay.sources.rotated_names import is_rotated
from hookline.relay.sources.source import Position

_PIECE_BYTES: Final = 1024 * 1024
_CLOCK_TOLERANCE_SECONDS: Final = 1.0  # between the clock of a file system and that of the relay


def find_start(
    identity: FileIdentity, descriptor: int, expected_key: bytes, context: ReadContext
) -> tuple[Position | None, bool]:
    """Returns the position at which reading of an open file without compression begins (None for new content), and
    whether the file has lost its tail.

    Raises:
        FileReplaced: the content is not that of `expected_key`.
    """
    found = context.checkpoints.find(identity, partial(_read_at, descriptor))
    if expected_key:
        if found is None or found.key != expected_key:
            raise FileReplaced(0)
        return found, False
    if found is not None:
        return found, False
    shortened = find_position_in_shortened(identity, descriptor, context)
    if shortened is None:
        context.other_names.check(identity, partial(_read_at, descriptor))
    return shortened, True


def find_position_in_shortened(identity: FileIdentity, descriptor: int, context: ReadContext) -> Position | None:
    """Returns the position in an open file that has lost its tail since it was read, otherwise None.

    If the file were read again from its start, events older than the dedupe window would be sent twice. The position
    is where the file is known to be the same as before, and its end if it was not written since it was read.
    """
    read_at = partial(_read_at, descriptor)
    found, verified = context.checkpoints.find_longer(identity, read_at)
    if found is None or context.checkpoints.is_claimed(found.key):
        return None
    end = end_of_known_content(found, verified, identity, os.fstat(descriptor).st_mtime, read_at)
    # Content that only begins alike, for example with the same header, is another content with a key of its own.
    offset, key = (verified, b"") if end is None else (end, found.key)
    event = "file has lost its tail since it was read, reading continues behind the rest"
    context.logger.warning(event, source=identity.name, bytes=found.offset - offset, byte=offset)
    line, tail = 0, b""
    for at in range(0, offset, _PIECE_BYTES):
        context.stop.check()
        piece = read_at(at, min(_PIECE_BYTES, offset - at))
        line += piece.count(b"\n")
        tail = (tail + piece)[-TAIL_BYTES:]
    marks = ContentMarks().at(offset, read_at)
    return file_position(identity, offset=offset, line=line, tail=tail, key=key, marks=marks)


def end_of_known_content(
    found: Position, verified: int, identity: FileIdentity, modified: float, read_at: ReadAt
) -> int | None:
    """Returns up to where a shortened file was read, or None if lines follow that may never have been read.

    Args:
        found: the checkpoint, from `Checkpoints.find_longer`.
        verified: up to where the file is the same as before, from the same call.
        identity: the file.
        modified: the time of its last change, in Unix seconds.
        read_at: reads the file.
    """
    size = identity.size
    assert size is not None
    is_unchanged = found.inode == identity.inode and modified < found.at - _CLOCK_TOLERANCE_SECONDS
    if is_unchanged and found.offset > size:
        return size
    pieces = (read_at(at, min(_PIECE_BYTES, size - at)) for at in range(verified, size, _PIECE_BYTES))
    return None if any(b"\n" in piece for piece in pieces) else verified


def _read_at(descriptor: int, offset: int, length: int) -> bytes:
    return os.pread(descriptor, length, offset)


def may_be_partial_copy(identity: FileIdentity, checkpoints: Checkpoints) -> bool:
    """Returns whether the file may be an incomplete copy (copytruncate) of a log of which more was read.

    Both begin alike. If it were read before the copy is complete, it would count as content that was never read.
    """
    longer = [one for one in checkpoints.candidates(identity) if one.offset > (identity.size or 0)]
    return any(is_rotated(Path(identity.name).name, Path(one.name).name) for one in longer)
