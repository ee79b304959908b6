"""The bytes of an open file in their order, and whether they are still those that were read."""

from __future__ import annotations

import os

from hookline.relay.sources.lines import TAIL


class Replaced(Exception):
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
        self._recent = recent[-TAIL:]
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
            raise Replaced(unread)
        chunk = came[known:]
        self.offset += len(chunk)
        self._recent = came[-TAIL:]
        # The status is from before the read, so what came in between is seen the next time.
        self._seen = None if chunk else now
        return chunk

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)
