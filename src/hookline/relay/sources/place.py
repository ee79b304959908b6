"""A file of a log while that is followed."""

from __future__ import annotations

from typing import NamedTuple

from hookline.relay.fates import Line
from hookline.relay.sources.files import FileReader
from hookline.relay.sources.looking import Identity
from hookline.relay.sources.naming import shown
from hookline.relay.sources.port import Position


class Place:
    """A file of a log. It is open while it is read; at rest it costs a look at its size.

    `attached`: it stands under a name that was asked for. `stamp` is its size and time of change (nanoseconds),
    `rested` those for which everything in it was read, and `key` that of what was read; `born` is the time of change
    at the first look.
    """

    def __init__(self, path: str, identity: Identity, stamp: tuple[int, int]) -> None:
        self.path = path
        self.identity = identity
        self.stamp = stamp
        self.rested: tuple[int, int] | None = None
        self.key = b""
        self.attached = True
        self.reader: FileReader | None = None
        self.born = stamp[1]
        self.dry_since: float | None = None
        self.retry_at = 0.0
        self.told: str | None = None

    @property
    def name(self) -> str:
        return shown(self.path)


class Read(NamedTuple):
    """`more`: there may be more at once."""

    source: str
    lines: list[Line]
    position: Position
    more: bool
