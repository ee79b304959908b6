"""What the daemon asks of a source of lines."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hookline.relay.fates import Line


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source is acknowledged: what the spool keeps in the transaction that covers the lines before it.

    For a file: `device`, `inode` and a hash over its first `head_length` bytes say which file it is, `offset` is
    the byte after the last line taken. For a pipe only `name` (``-``) and `line` mean something.
    """

    name: str
    line: int = 0
    offset: int = 0
    device: int = 0
    inode: int = 0
    head_length: int = 0
    head_hash: bytes = b""


NOWHERE = Position(name="")


class Batch(msgspec.Struct, frozen=True):
    """Lines, and the position that is reached when all of them are durable. `end`: nothing more will come."""

    source: str
    lines: list[Line]
    position: Position
    end: bool


class SourceLag(msgspec.Struct, frozen=True):
    """How far a source was read. `behind`: bytes not read yet (compressed, where it is that), None for a pipe."""

    source: str
    position: Position
    behind: int | None


class LineSource(Protocol):
    """Reads in a thread of its own; never two calls at a time."""

    def read(self) -> Batch:
        """The next lines: at most 500, and at most about 4 MiB. Waits at most 0.1 s, then returns an empty batch."""
        ...

    def lags(self) -> list[SourceLag]:
        """How far each source was read that is open now. Cheap, and may be called from another thread."""
        ...

    def progress(self) -> tuple[int, int | None]:
        """Bytes read, and bytes in all where that is known: for the progress bar."""
        ...

    def unfinished(self) -> list[tuple[str, int]]:
        """Once the end is reached: sources whose last line is not complete and was not taken, and its bytes."""
        ...

    def finish(self) -> None:
        """Take nothing more in; what was taken in is still given out by `read`, which then ends. From any thread."""
        ...

    def close(self) -> None: ...
