"""The content of a file, decompressed if necessary, in pieces. Detects that an open file was replaced."""

from __future__ import annotations

import os
from enum import Enum, auto
from typing import Protocol

from hookline.errors import HooklineError
from hookline.relay.sources.decompression import Decompressor
from hookline.relay.sources.line_splitter import TAIL_BYTES
from hookline.relay.sources.timing import Timing


class ReadStatus(Enum):
    """The state of a file after a read."""

    MORE = auto()  # more lines may be available
    AT_END = auto()  # no more lines for now
    WAITING = auto()  # no more lines for now, and a writer may be in the middle of the next ones
    REPLACED = auto()  # the file no longer has the content that was read: call `restart`


class StaleHandle(HooklineError):
    """The file server no longer knows the open file. The file must be opened again, and is found by its content."""


class FileReplaced(Exception):
    """The file was truncated or rewritten. `unread` is the number of unread bytes that it had at the last check."""

    def __init__(self, unread: int) -> None:
        super().__init__(unread)
        self.unread = unread


class RawFile:
    """Content without compression, from `offset` on. `recent` are the last bytes before it. Does not map OSErrors.

    Owns `descriptor`, except for standard input, output and error.
    """

    at_definite_end = False
    damage = None

    def __init__(self, descriptor: int, offset: int = 0, recent: bytes = b"") -> None:
        self.descriptor = descriptor
        self.offset = offset
        self._recent = recent[-TAIL_BYTES:]
        self._end_stamp: tuple[int, int] | None = None
        self.size = os.fstat(descriptor).st_size

    def next(self, size: int) -> bytes:
        status = os.fstat(self.descriptor)
        unread, self.size = max(0, self.size - self.offset), status.st_size
        # The file has not changed since the last read reached its end.
        if self._end_stamp == (stamp := (status.st_size, status.st_mtime_ns)):
            return b""
        # Reads the last bytes again, because a truncated file may have grown longer than before.
        known = len(self._recent)
        # Not more than the file has: a large buffer costs more than the few new lines of a log. Files of the system,
        # as in /proc, have more content than their size says.
        available = status.st_size - self.offset
        wanted = min(size, available) if available > 0 else size
        # pread leaves the file position unchanged: a redirected standard input shares it with the shell.
        data = os.pread(self.descriptor, known + wanted, self.offset - known)
        if not data.startswith(self._recent):
            raise FileReplaced(unread)
        chunk = data[known:]
        self.offset += len(chunk)
        self._recent = data[-TAIL_BYTES:]
        # The status is older than the data, so the next read sees a change in between.
        self._end_stamp = stamp if not chunk or self.offset == status.st_size else None
        return chunk

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)


_BEGINNING_BYTES = 4096


class FileBeginning:
    """Detects that a file was truncated and written again before its first read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._known = b""
        self._changed = False

    def check(self) -> None:
        """Compares the first bytes with those of the last check. Raises OSError."""
        head = os.pread(self._descriptor, _BEGINNING_BYTES, 0)
        self._changed |= not head.startswith(self._known)
        self._known = head

    def require_unchanged(self) -> None:
        """Raises FileReplaced if a check has found other bytes. The next call does not raise it again."""
        changed, self._changed = self._changed, False
        if changed:
            raise FileReplaced(0)


_STEP_BYTES = 64 * 1024


class Content(Protocol):
    """The bytes of a file from an offset on."""

    @property
    def at_definite_end(self) -> bool:
        """Whether no more data can follow: a compressed stream has ended or is damaged."""

    @property
    def damage(self) -> str | None:
        """The reason why a compressed stream cannot be decompressed further, or is incomplete without more input."""

    def next(self, size: int) -> bytes:
        """Returns at most `size` bytes, and none at the current end. Raises FileReplaced."""


class DecompressedContent:
    """The decompressed content of a file, from its beginning."""

    def __init__(self, raw: RawFile) -> None:
        self._raw = raw
        self._decompressor = Decompressor()

    @property
    def at_definite_end(self) -> bool:
        is_complete = self._decompressor.is_complete and self._raw.offset == self._raw.size
        return is_complete or self._decompressor.damage is not None

    @property
    def damage(self) -> str | None:
        return self._decompressor.damage or (None if self._decompressor.is_complete else "it ends too early")

    def next(self, size: int) -> bytes:
        while not (out := self._decompressor.next(size)) and self._decompressor.damage is None:
            if not (chunk := self._raw.next(_STEP_BYTES)):
                break
            self._decompressor.feed(chunk)
        return out


class FullyReadContent:
    """A compressed file that an earlier run read to its end. While its size is unchanged, it has no new data."""

    at_definite_end = True
    damage = None

    def __init__(self, raw: RawFile) -> None:
        self._size = raw.size
        self.raw = RawFile(raw.descriptor, raw.size)

    def next(self, size: int) -> bytes:
        if self.raw.next(size) or self.raw.size != self._size:
            raise FileReplaced(0)
        return b""


# Only the time without writes distinguishes an incomplete archive from one that is still being written.
QUIET_SECONDS = 2.0  # without writes: a copy or an archive counts as complete
OLD_FILE_SECONDS = 60.0  # since the last change, also by another machine's clock: no more writes are expected


class QuietPeriod:
    """Measures the time without writes to an open file, from the first call of `has_lasted` on."""

    def __init__(self, descriptor: int, timing: Timing) -> None:
        self._descriptor = descriptor
        self._timing = timing
        self._stamp: tuple[int, int] | None = None
        self._since = 0.0

    def has_lasted(self, seconds: float) -> bool:
        """Returns whether the file did not change for `seconds`, or changed more than OLD_FILE_SECONDS ago."""
        status = os.fstat(self._descriptor)
        now = self._timing.monotonic()
        if self._stamp != (stamp := (status.st_size, status.st_mtime_ns)):
            self._stamp, self._since = stamp, now
        return now - self._since >= seconds or self._timing.wall() - status.st_mtime >= OLD_FILE_SECONDS


def is_complete(content: Content, quiet_period: QuietPeriod, *, final: bool) -> bool:
    """Returns whether a file of which all was read is complete. Its last line then needs no terminator.

    With `final`, no more writes to the file are expected.
    """
    if content.at_definite_end or content.damage is None:
        return final or content.at_definite_end
    # An archive is incomplete while it is being written. If it counted as complete too early, it would not match
    # the checkpoint of the content of which more was read.
    return quiet_period.has_lasted(QUIET_SECONDS if final else OLD_FILE_SECONDS)
