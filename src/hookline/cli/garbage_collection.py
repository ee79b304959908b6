"""The garbage collection of a command that reads many files and ends soon, and of a relay that runs for long."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Final

# Python's default is 700. The values of webhook files have no cycles, and most are needed until the end: at the
# default, a quarter of the time of a plan goes into looking at them again and again.
OBJECTS_PER_COLLECTION: Final = 50_000
_COMMANDS: Final = ("validate", "plan", "apply")
_RELAYS: Final = ("relay", "deliver")


def collect_rarely(arguments: Sequence[str]) -> None:
    """Let a process that reads webhook files, and those that it forks, collect after many new objects only.

    A relay collects nothing until it calls `collect_new_objects`. `arguments` are those of the command line.
    """
    if arguments and arguments[0] in _COMMANDS:
        gc.set_threshold(OBJECTS_PER_COLLECTION)
    elif arguments and arguments[0] in _RELAYS:
        gc.disable()


def collect_new_objects() -> None:
    """Collect as Python does, but leave out the modules and values of the start, which are needed until the end.

    A relay delivers thousands of events between two collections of everything, and each of those would take as long
    as a hundred events. Does nothing in a process that collects already.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
