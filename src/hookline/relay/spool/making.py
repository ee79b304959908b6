"""A spool that is made before any relay has run: `pause` and `dead import` have something to keep in it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from hookline.errors import SpoolUnusable
from hookline.relay.spool.database import FILE, create_or_open, make_directory
from hookline.relay.spool.lock import SpoolLock

# A relay that starts at the same moment has made it by then.
_PATIENCE_SECONDS: Final = 5.0


def make_if_missing(directory: Path, *, since: str) -> None:
    """Make an empty spool where there is none. `since` as for SqliteSpool. Raises SpoolUnusable."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (directory / FILE).exists():
        make_directory(directory)
        try:
            lock = SpoolLock(directory, since=since)
        except SpoolUnusable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        try:
            create_or_open(directory).close()
        finally:
            lock.release()
