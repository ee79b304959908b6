"""The last check of a log of one file, by which a later check is cheap."""

from __future__ import annotations

import os
from typing import Final

from hookline.relay.sources.files.rotated_files import InodeIdentity

QUIET_CHECKS: Final = 3  # without a change: the log is quiet


class LastCheck:
    """The identity, size and time of change of the file at the last check, and the checks since its last change."""

    def __init__(self) -> None:
        self._known: tuple[int, int, int, int] | None = None
        self._unchanged_checks = 0

    @property
    def is_known(self) -> bool:
        return self._known is not None

    @property
    def is_quiet(self) -> bool:
        """Whether the file has not changed for some checks."""
        return self._unchanged_checks >= QUIET_CHECKS

    def keep(self, identity: InodeIdentity, stamp: tuple[int, int]) -> None:
        self._known = (*identity, *stamp)

    def forget(self) -> None:
        self._known, self._unchanged_checks = None, 0

    def is_unchanged(self, path: str) -> bool:
        """Compares the file that has the path now."""
        if self._known is None:
            return False
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return False
        if (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) != self._known:
            return False
        self._unchanged_checks += 1
        return True
