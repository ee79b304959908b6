"""Remembers the version of a state file while the file stays as it is, so that a relay at rest does not open it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

# The coarsest times of a file system (FAT). A change within them can leave the status of a file as it is.
MIN_UNCHANGED_SECONDS: Final = 2.0
# A network file system may return an old status of a file until the file is opened again.
REREAD_SECONDS: Final = 5.0

Version = tuple[str | None, int]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A status of the file, the time at which it was first seen, and the version that was read afterwards, if it may
    be used again."""

    status: tuple[int, ...] | None
    since: float
    version: Version | None = None
    read_at: float = 0.0


class VersionMemory:
    """The version that was read last.

    It is used again while the file keeps its status, if it was read at least MIN_UNCHANGED_SECONDS after this status
    was first seen, and at most REREAD_SECONDS ago.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen = _Seen(None, monotonic())  # replaced as a whole, because several threads may read

    def read(self, path: Path, read: Callable[[], Version]) -> Version:
        """Return the version of the file at `path`. `read` opens the file, and may raise."""
        now, status, seen = self._monotonic(), _status_of(path), self._seen
        if status != seen.status:
            self._seen = seen = _Seen(status, now)
        if seen.version is not None and now - seen.read_at < REREAD_SECONDS:
            return seen.version
        version = read()
        if status is not None and now - seen.since >= MIN_UNCHANGED_SECONDS:
            self._seen = replace(seen, version=version, read_at=now)
        return version


def _status_of(path: Path) -> tuple[int, ...] | None:
    """None: the file cannot be examined. Reading it gives the reason.

    A descriptor would not do: closing one ends all locks that SQLite has on the file in this process (fcntl(2)).
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
