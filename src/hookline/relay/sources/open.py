"""From the names on the command line to the one source that reads them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hookline.relay.sources.batch_source import BatchSource
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.follow_source import FollowSource
from hookline.relay.sources.input_files import STANDARD_INPUT, expand
from hookline.relay.sources.source import LineSource, Position, SourceLog


def require_sources(names: Sequence[str], *, follow: bool) -> None:
    """Before anything is read: a misspelt second file should not be found out after the first.

    Raises HooklineError for what is not there. What is followed may come later.
    """
    for name in names:
        if name != STANDARD_INPUT and not follow:
            expand(name)


def open_sources(
    names: Sequence[str], positions: Iterable[Position], *, follow: bool, from_start: bool, notes: SourceLog
) -> LineSource:
    """One source for files, pipes, ``-``, patterns and directories.

    A file goes on where the checkpoint that belongs to it says, whatever its name was then; `from_start` ignores the
    checkpoints. Raises HooklineError when something is not there and is not followed.
    """
    checkpoints = Checkpoints(() if from_start else positions)
    if follow:
        return FollowSource(names, checkpoints, notes)
    return BatchSource([path for name in names for path in expand(name)], checkpoints, notes)
