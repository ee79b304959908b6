"""Contents that relays with other names read into the same spool."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from hookline.relay.sources.checkpoints import Checkpoints, FileIdentity
from hookline.relay.sources.files.content_marks import ReadAt
from hookline.relay.sources.source import Position, SourceLog

MAX_NAME_WARNINGS: Final = 1000


class NamedPosition(NamedTuple):
    """A position, and the `--name` of the relays that read up to it."""

    name: str
    position: Position


class OtherNames:
    """The positions of the other names, as they were when the sources were opened."""

    def __init__(self, positions: Iterable[NamedPosition], logger: SourceLog) -> None:
        by_name: dict[str, list[Position]] = {}
        for name, position in positions:
            by_name.setdefault(name, []).append(position)
        self._by_name = {name: Checkpoints(read) for name, read in by_name.items()}
        self._logger = logger
        self._warned: dict[str, None] = {}

    def check(self, identity: FileIdentity, read_at: ReadAt) -> None:
        """Warn once if new content of this name was read under another one. Called when a file has no checkpoint."""
        for name, checkpoints in self._by_name.items():
            found = checkpoints.find(identity, read_at)
            if found is None or identity.name in self._warned or len(self._warned) >= MAX_NAME_WARNINGS:
                continue
            self._warned[identity.name] = None
            self._logger.warning(
                "another --name has read this file, its events are read again",
                source=identity.name,
                other=name,
                read_as=found.name,
                line=found.line,
                hint=f"if both read the same log, stop this relay and start it with --name {name}; events within "
                "--dedupe-window are duplicates and are not sent twice",
            )
