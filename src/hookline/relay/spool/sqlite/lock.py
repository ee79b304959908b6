"""One relay to a spool: an advisory lock on an open file, which the operating system drops when the process dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.relay.spool.sqlite.permissions import refusal_named

LOCK_FILE: Final = "lock"
# Who only asks whether it is held has it for a moment; a relay that starts just then tries again.
_TRIES: Final = 5
_BETWEEN_SECONDS: Final = 0.02


class SpoolLock:
    """Held from construction to `release`. Raises SpoolUnusable when its file cannot be written, or another process
    has it: that one is named."""

    def __init__(self, directory: Path, *, since: str) -> None:
        with refusal_named(directory):
            self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(directory, f"process {os.getpid()} since {since}\n".encode())
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self, directory: Path, name: bytes) -> None:
        for _ in range(_TRIES):
            if _taken(self._descriptor, fcntl.LOCK_EX):
                break
            time.sleep(_BETWEEN_SECONDS)
        else:
            raise SpoolUnusable(
                f"the spool {directory} is held by {_named(self._descriptor)}",
                hint="stop that relay first, or give this one a spool of its own with --spool",
            )
        with refusal_named(directory):
            os.pwrite(self._descriptor, name, 0)  # over the last one: a full disk has room for that
            os.ftruncate(self._descriptor, len(name))

    def release(self) -> None:
        os.close(self._descriptor)


def holder_of(directory: Path) -> str | None:
    """Who holds a spool, and since when (``process 4711 since 2026-05-18T17:01:25+00:00``). None: nobody."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _taken(descriptor, fcntl.LOCK_SH) else _named(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
