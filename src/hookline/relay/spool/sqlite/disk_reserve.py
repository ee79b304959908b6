"""Disk space that is reserved for outcomes: a relay continues to deliver while the disk is full.

Ingest needs much new space, a settlement hardly any. A file reserves some megabytes: enough for the pages that the
write-ahead log moves into the database, and for many outcomes. When the disk is full, the relay deletes the file, so
that it can record accepted deliveries. Ingest waits until the disk has room for the file again: otherwise
it would use up the released space, and outcomes could no longer be recorded.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from hookline.relay.spool.sqlite.storage_access import RESERVE_BYTES

RESERVE_FILE: Final = "reserve"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskReserve:
    """The reserve in a spool's directory. On a file system that cannot reserve space there is none."""

    def __init__(self, directory: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._path = directory / RESERVE_FILE
        self._bytes = reserve_bytes
        self._released = True
        self.acquire()

    def release(self) -> None:
        """Give the space back to the disk."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._released = True

    def acquire(self) -> bool:
        """Reserve the space, unless it is reserved already. False: the disk lacks the space."""
        if not self._released:
            return True
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._bytes)
            finally:
                os.close(descriptor)
        except OSError as error:  # a partial reserve only takes space
            self.release()
            return error.errno not in _NO_ROOM
        self._released = False
        return True
