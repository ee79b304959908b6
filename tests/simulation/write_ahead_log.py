"""SQLite's write-ahead log of a simulated disk: how far it reaches, and how much of it was synced.

The header of the log's index knows how far the log reaches (https://www.sqlite.org/walformat.html). The disk reports
every commit and every sync, because no file records them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookline.relay.spool.sqlite.schema import PAGE_BYTES

_FRAME_BYTES: Final = 24 + PAGE_BYTES
_HEADER_BYTES: Final = 32
# Of the index: the number of valid frames, the salts of the log, and the frames that are in the database already.
_INDEX: Final = struct.Struct("=16xI12x8s56xI")


@dataclass(frozen=True, slots=True)
class LogState:
    """The state of the log at one moment. The salts change when the log begins again."""

    frames: int = 0
    salts: bytes = b""
    in_database: int = 0

    @property
    def end(self) -> int:
        """The byte after the last valid frame."""
        return _HEADER_BYTES + self.frames * _FRAME_BYTES if self.frames else 0


class WriteAheadLog:
    """The log of the database at `database`."""

    def __init__(self, database: Path) -> None:
        self.name = f"{database.name}-wal"
        self._index = database.with_name(f"{database.name}-shm")
        self._salts = b""
        self._synced = 0

    @property
    def synced(self) -> int:
        """The number of bytes that a power cut does not change."""
        return min(self._synced, self.state().end)

    def state(self) -> LogState:
        """The state of the log now. Without an index the log is empty."""
        try:
            with self._index.open("rb") as file:
                data = file.read(_INDEX.size)
        except FileNotFoundError:
            return LogState()
        if len(data) < _INDEX.size:
            return LogState()
        frames, salts, in_database = _INDEX.unpack(data)
        return LogState(frames, salts, in_database)

    def observe(self) -> None:
        """Notice a checkpoint, which syncs its frames, and a log that begins again, which is not synced."""
        state = self.state()
        if state.salts != self._salts:
            self._salts, self._synced = state.salts, 0
        if state.in_database:
            self._synced = max(self._synced, _HEADER_BYTES + state.in_database * _FRAME_BYTES)

    def mark_synced(self) -> None:
        """The whole log was synced."""
        self.observe()
        self._synced = max(self._synced, self.state().end)

    def begin(self, size: int) -> None:
        """The disk was restored with a log of this size in bytes, all of it synced."""
        self._salts, self._synced = b"", size

    def cut(self, image: dict[str, bytes], size: int) -> None:
        """Keep this many bytes of the log in an image of the files."""
        if self.name in image:
            image[self.name] = image[self.name][:size]
