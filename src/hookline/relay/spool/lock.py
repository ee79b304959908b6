"""One relay to a spool: an advisory lock on an open file, which the operating system drops when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hookline.errors import SpoolUnusable


class SpoolLock:
    """Held from construction to `release`. Raises SpoolUnusable, naming the holder, when another process has it."""

    def __init__(self, directory: Path, *, since: str) -> None:
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise SpoolUnusable(
                f"the spool {directory} is held by {holder}",
                hint="stop that relay first, or give this one a spool of its own with --spool",
            ) from held
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} since {since}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)
