"""Opens the source for the names on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hookline.relay.sources.batch_source import BatchSource
from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.broker.source_address import find_address
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.files.listing import LinkRule, Listings
from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.follow_source import FollowSource
from hookline.relay.sources.input_files import STANDARD_INPUT, expand, is_pattern_or_directory, listing_root
from hookline.relay.sources.source import LineSource, Position, SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing


def require_sources(names: Sequence[str], *, follow: bool) -> None:
    """Raises HooklineError if a source does not exist. One that is followed may be created later. An address is only
    checked for its form."""
    if (address := find_address(names)) is not None:
        require_address(address)
        return
    for name in names:
        if name != STANDARD_INPUT and not follow:
            expand(name)


def open_sources(
    names: Sequence[str],
    positions: Iterable[Position],
    *,
    follow: bool,
    logger: SourceLog,
    timing: Timing = SYSTEM_TIMING,
    links_below: Sequence[str] = (),
    is_event: Callable[[bytes], bool] = lambda _: False,
    others: Iterable[NamedPosition] = (),
) -> LineSource:
    """Opens one source for files, pipes, ``-``, patterns and directories.

    Args:
        names: the names on the command line.
        positions: the checkpoints. A file continues from the checkpoint of its content, under any name.
        follow: whether to follow the sources as they grow.
        logger, timing: the log, the clocks and the waits of the sources.
        links_below: resolved paths of directories. Links that were found by listing may end below them.
        is_event: whether a text can be read as a line, so that it may be one without a line end.
        others: the positions of relays with other names, which have checkpoints of their own.

    Raises:
        HooklineError: a source does not exist and is not followed.
    """
    context = ReadContext(
        checkpoints=Checkpoints(positions),
        logger=logger,
        timing=timing,
        is_event=is_event,
        links=LinkRule(tuple(links_below)),
        listings=Listings(timing),
        others=others,
    )
    try:
        return FollowSource(names, context) if follow else _open_batch(names, context)
    except BaseException:
        context.stop.close()
        raise


def _open_batch(names: Sequence[str], context: ReadContext) -> BatchSource:
    paths: list[str] = []
    roots: dict[str, str | None] = {}
    for name in names:
        root = listing_root(name) if is_pattern_or_directory(name) else None
        for path in expand(name, context):
            paths.append(path)
            roots[path] = None if root is None else roots.get(path, root)
    return BatchSource(paths, roots, context)
