"""The garbage collection of a command that reads many files and ends soon."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Final

# Python's default is 700. The values of webhook files have no cycles, and most are needed until the end: at the
# default, a quarter of the time of a plan goes into looking at them again and again.
OBJECTS_PER_COLLECTION: Final = 50_000
_COMMANDS: Final = ("validate", "plan", "apply")


def collect_rarely(arguments: Sequence[str]) -> None:
    """Let a process that reads webhook files, and those that it forks, collect after many new objects only.

    A relay keeps the default, because it runs for months. `arguments` are those of the command line.
    """
    if arguments and arguments[0] in _COMMANDS:
        gc.set_threshold(OBJECTS_PER_COLLECTION)
