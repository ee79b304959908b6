"""The values that all readers of a run share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hookline.errors import HooklineError
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.files.listing import LinkRule, Listing, Listings
from hookline.relay.sources.files.other_names import NamedPosition, OtherNames
from hookline.relay.sources.line_splitter import LineSplitter
from hookline.relay.sources.source import SourceLog
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing

MAX_LINK_WARNINGS = 1000
MAX_STRAY_WARNINGS = 1000


class ReadingStopped(Exception):
    """The run stops. Raised in the middle of a long search, which then has no result."""


class StopRequest:
    """Ends waits and long searches when the run stops.

    `descriptor` is readable once the stop is requested, until `close`.
    """

    def __init__(self) -> None:
        self.requested = False
        self.descriptor, self._writer = os.pipe()

    def request(self) -> None:
        """Requests the stop. Called from any thread, and before `close` if at all."""
        if not self.requested:
            self.requested = True
            os.write(self._writer, b"x")

    def check(self) -> None:
        if self.requested:
            raise ReadingStopped

    def close(self) -> None:
        os.close(self.descriptor)
        os.close(self._writer)


class StrayBytes:
    """Counts the bytes that were dropped before lines, and logs the first ones of each source.

    Attributes:
        total: the bytes of all sources since the start.
    """

    def __init__(self, logger: SourceLog) -> None:
        self.total = 0
        self._logger = logger
        self._logged: dict[str, None] = {}

    def count(self, source: str, splitter: LineSplitter) -> None:
        """Takes the number from a splitter. Called after each read."""
        if not splitter.stray_bytes:
            return
        dropped = splitter.take_stray_bytes()
        self.total += dropped
        if source not in self._logged and len(self._logged) < MAX_STRAY_WARNINGS:
            self._logged[source] = None
            event = "bytes that cannot begin a line were left out: NUL bytes, record separators or byte order marks"
            self._logger.warning(event, source=source, bytes=dropped, line=splitter.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadContext:
    """Shared by all readers of a run.

    Attributes:
        checkpoints: the checkpoints of all files.
        logger, timing: the log, the clocks and the waits.
        others, other_names: the positions, and so the contents, that relays with other names have read.
        is_event: returns whether a line can be read, so that it is not the beginning of a longer one.
        links: the rule for links that were found by listing.
        listings: the directories.
        stop: whether the run stops.
        stray: the bytes that were dropped before lines.
        listed: the paths in directories without links, each with the listing that they are from.
    """

    checkpoints: Checkpoints
    logger: SourceLog
    timing: Timing = SYSTEM_TIMING
    is_event: Callable[[bytes], bool] = lambda _: False
    links: LinkRule = field(default_factory=LinkRule)
    listings: Listings = field(default_factory=lambda: Listings(SYSTEM_TIMING))
    stop: StopRequest = field(default_factory=StopRequest)
    stray: StrayBytes = field(init=False)
    others: Iterable[NamedPosition] = ()
    other_names: OtherNames = field(init=False)
    listed: dict[str, tuple[Listing, list[str]]] = field(default_factory=dict)
    _warned: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stray", StrayBytes(self.logger))
        object.__setattr__(self, "other_names", OtherNames(self.others, self.logger))

    def warn_of_link(self, refused: HooklineError) -> None:
        """Logs once that a link is not followed."""
        if refused.message not in self._warned and len(self._warned) < MAX_LINK_WARNINGS:
            self._warned[refused.message] = None
            self.logger.warning("link not followed", reason=refused.message, hint=refused.hint)
