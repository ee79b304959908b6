"""Room that is kept for the outcomes of deliveries: a full disk must not keep a relay from delivering.

Reading into the spool needs new room, settling hardly any. So some megabytes are set aside in a file: as many as the
write-ahead log may have to move into the database, and a good number of outcomes. When the disk
is full the file is given up, and what an endpoint has accepted can still be recorded. Reading waits until there is
room again and the file is made anew: it would eat up the room that was given up, and outcomes could not be recorded
any more.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_FILE: Final = "reserve"
RESERVE_BYTES: Final = 40 * 1024 * 1024
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class DiskReserve:
    """Of one spool's directory. A file system that can set no room aside goes without."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / RESERVE_FILE
        self._lent = True
        self.restore()

    def lend(self) -> None:
        """Give the room up."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._lent = True

    def restore(self) -> bool:
        """Set the room aside, if it is not. Cheap when it is. False: there is not so much room."""
        if not self._lent:
            return True
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
        except OSError as failed:  # half a reserve would only be in the way
            self.lend()
            return failed.errno not in _NO_ROOM
        self._lent = False
        return True
