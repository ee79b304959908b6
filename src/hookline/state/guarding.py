"""Who else can write to a file or directory of hookline's: told before anything in it is believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def open_to_all(path: Path) -> bool:
    """Whether everybody can change what is at `path`, links followed. False for what cannot be looked at.

    A sticky directory of root or of this user is none: there only owners replace their files (/tmp).
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if not status.st_mode & stat.S_IWOTH:
        return False
    sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return not (sticky and status.st_uid in (0, os.geteuid()))


def is_somebody_elses(path: Path) -> bool:
    """Whether it belongs to neither root nor this user. Root may look at everybody's."""
    try:
        owner = path.lstat().st_uid
    except OSError:
        return False
    return os.geteuid() != 0 and owner not in (0, os.geteuid())
