"""Locks a spool for one relay: an advisory lock on an open file, which ends with the process."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.relay.spool.sqlite.permissions import map_os_errors

LOCK_FILE: Final = "lock"
# A command that asks for the owner holds the lock for a moment, so a starting relay tries again.
_TRIES: Final = 5
_BETWEEN_TRIES_SECONDS: Final = 0.02


class SpoolLock:
    """Held from construction to `release`. Raises SpoolUnusable when its file cannot be written, or when another
    process holds it; the message names that process."""

    def __init__(self, directory: Path, *, since: str, sleep: Callable[[float], None] = time.sleep) -> None:
        with map_os_errors(directory):
            self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(directory, f"process {os.getpid()} since {since}\n".encode(), sleep)
        except BaseException:
            self.release()
            raise

    def _acquire(self, directory: Path, name: bytes, sleep: Callable[[float], None]) -> None:
        for _ in range(_TRIES):
            if try_lock(self._descriptor, fcntl.LOCK_EX):
                break
            sleep(_BETWEEN_TRIES_SECONDS)
        else:
            raise SpoolUnusable(
                f"the spool {directory} is held by {read_holder(self._descriptor)}",
                hint="stop that relay first, or give this one a spool of its own with --spool",
            )
        with map_os_errors(directory):
            os.pwrite(self._descriptor, name, 0)  # overwrite, then truncate: this needs no room on a full disk
            os.ftruncate(self._descriptor, len(name))

    def release(self) -> None:
        os.close(self._descriptor)


def holder_of(directory: Path) -> str | None:
    """The process that holds a spool, and since when (``process 4711 since 2026-05-18T17:01:25+00:00``), if any."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if try_lock(descriptor, fcntl.LOCK_SH) else read_holder(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, operation: int) -> bool:
    """Lock an open file (LOCK_SH or LOCK_EX) without waiting. False: another process holds it."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_holder(descriptor: int) -> str:
    """The content of an open lock file: the process that wrote it last."""
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
