"""Opens the source for the names on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hookline.relay.sources.batch_source import BatchSource
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.follow_source import FollowSource
from hookline.relay.sources.input_files import STANDARD_INPUT, expand
from hookline.relay.sources.source import LineSource, Position, SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing


def require_sources(names: Sequence[str], *, follow: bool) -> None:
    """Raises HooklineError if a source does not exist. One that is followed may be created later."""
    for name in names:
        if name != STANDARD_INPUT and not follow:
            expand(name)


def open_sources(
    names: Sequence[str],
    positions: Iterable[Position],
    *,
    follow: bool,
    from_start: bool,
    logger: SourceLog,
    timing: Timing = SYSTEM_TIMING,
) -> LineSource:
    """Opens one source for files, pipes, ``-``, patterns and directories.

    Args:
        names: the names on the command line.
        positions: the checkpoints. A file continues from the checkpoint of its content, under any name.
        follow: whether to follow the sources as they grow.
        from_start: ignore the checkpoints.
        logger, timing: the log, the clocks and the waits of the sources.

    Raises:
        HooklineError: a source does not exist and is not followed.
    """
    checkpoints = Checkpoints(() if from_start else positions)
    if follow:
        return FollowSource(names, checkpoints, logger, timing)
    return BatchSource([path for name in names for path in expand(name)], checkpoints, logger, timing)
