"""What a file holds, whether it is packed or not: bytes, piece by piece."""

from __future__ import annotations

import os
import time
from typing import Protocol

from hookline.relay.sources.decompression import DamagedArchive, Decompressor
from hookline.relay.sources.line_splitter import TAIL_BYTES


# The bytes of an open file in their order, and whether they are still those that were read.
class FileReplaced(Exception):
    """The file does not hold any more what was read of it: it was truncated, or written anew.

    `unread`: how many bytes were in it at the last look, and not read.
    """

    def __init__(self, unread: int) -> None:
        super().__init__(unread)
        self.unread = unread


class RawFile:
    """Reads on from `offset`; `recent` are the last bytes before it, at most TAIL. OSErrors are the caller's to map.

    Owns `descriptor`, but for the process's standard input.
    """

    def __init__(self, descriptor: int, offset: int = 0, recent: bytes = b"") -> None:
        self.descriptor = descriptor
        self.offset = offset
        self._recent = recent[-TAIL_BYTES:]
        self._seen: tuple[int, int] | None = None
        self.size = os.fstat(descriptor).st_size

    def next(self, size: int) -> bytes:
        """At most `size` bytes, none at the end for now. Raises Replaced."""
        status = os.fstat(self.descriptor)
        unread, self.size = max(0, self.size - self.offset), status.st_size
        # Nothing has happened since the last look at the end.
        if self._seen == (now := (status.st_size, status.st_mtime_ns)):
            return b""
        # What was read last is read again: a file that was truncated may by now be longer than it was.
        known = len(self._recent)
        # pread: a redirected standard input shares its file position with the shell, which is none of ours.
        came = os.pread(self.descriptor, known + size, self.offset - known)
        if not came.startswith(self._recent):
            raise FileReplaced(unread)
        chunk = came[known:]
        self.offset += len(chunk)
        self._recent = came[-TAIL_BYTES:]
        # The status is from before the read, so what came in between is seen the next time.
        self._seen = None if chunk else now
        return chunk

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)


_STEP = 64 * 1024


class Content(Protocol):
    """The bytes of a file from some place on."""

    @property
    def raw(self) -> RawFile: ...

    @property
    def at_definite_end(self) -> bool:
        """Whether nothing more is to be expected: a compressed stream is at its end, or is damaged."""
        ...

    @property
    def damage(self) -> str | None:
        """Why nothing more can come out, or would be missing if nothing more came in."""
        ...

    def next(self, size: int) -> bytes:
        """At most `size` bytes; none at the end for now. Raises raw.Replaced."""
        ...


class PlainContent:
    """Content that is what it is."""

    at_definite_end = False
    damage = None

    def __init__(self, raw: RawFile) -> None:
        self.raw = raw

    def next(self, size: int) -> bytes:
        return self.raw.next(size)


class DecompressedContent:
    """What a compressed file unpacks to, from its beginning."""

    def __init__(self, raw: RawFile) -> None:
        self.raw = raw
        self._unpacker = Decompressor()
        self._broken: str | None = None

    @property
    def at_definite_end(self) -> bool:
        return self._broken is not None or (self._unpacker.whole and self.raw.offset == self.raw.size)

    @property
    def damage(self) -> str | None:
        return self._broken or (None if self._unpacker.whole else "it ends too early")

    def next(self, size: int) -> bytes:
        """Goes on until something comes out, or the file has nothing more; a damaged one has nothing more."""
        while self._broken is None:
            try:
                if out := self._unpacker.next(size):
                    return out
            except DamagedArchive as error:
                self._broken = str(error)
                break
            if not (chunk := self.raw.next(_STEP)):
                break
            self._unpacker.feed(chunk)
        return b""


class FullyReadContent:
    """A compressed file that was read to its end before: while its size is the same there is nothing new in it."""

    at_definite_end = True
    damage = None

    def __init__(self, raw: RawFile) -> None:
        self._size = raw.size
        self.raw = RawFile(raw.descriptor, raw.size)

    def next(self, size: int) -> bytes:
        if self.raw.next(size) or self.raw.size != self._size:
            raise FileReplaced(0)
        return b""


# For how long nobody has written to a file: that alone tells a half archive from one that is being made.
QUIET_SECONDS = 2.0  # seconds after which what somebody copies or compresses there is taken to be all
OLD_FILE_SECONDS = 60.0  # seconds after which nobody is expected to go on, also by another machine's clock


class QuietPeriod:
    """Watches an open file from its first question on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._stamp: tuple[int, int] | None = None
        self._since = 0.0

    def lasts(self, seconds: float) -> bool:
        """Whether nobody has written to it for so long, as far as was seen, or since long ago."""
        status = os.fstat(self._descriptor)
        now = time.monotonic()
        if self._stamp != (stamp := (status.st_size, status.st_mtime_ns)):
            self._stamp, self._since = stamp, now
        return now - self._since >= seconds or time.time() - status.st_mtime >= OLD_FILE_SECONDS
