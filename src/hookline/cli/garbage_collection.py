"""The garbage collection of a command that reads many files and ends soon."""

from __future__ import annotations

import gc
from typing import Final

# Python's default is 700. The values of webhook files have no cycles, and most are needed until the end: at the
# default, a third of the time of a plan goes into looking at them again and again.
OBJECTS_PER_COLLECTION: Final = 50_000


def collect_rarely() -> None:
    """Collect after many new objects only, in this process and in those that it forks."""
    gc.freeze()  # the modules: no collection looks at them, and none makes a forked process copy their pages
    gc.set_threshold(OBJECTS_PER_COLLECTION)
