"""What the daemon asks of its source of lines: one object for everything that was named on the command line."""

from __future__ import annotations

from typing import Protocol

import msgspec

from hookline.relay.delivery_record import Line

MAX_LINES_PER_BATCH = 500
MAX_BYTES_PER_BATCH = 4 * 1024 * 1024
WAIT_SECONDS = 0.1  # seconds: how soon a stop is noticed while nothing comes


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source is acknowledged: what the spool keeps in the transaction that covers the lines before it.

    For a file: `device` and `inode` say where it was, a hash over its first `head_length` bytes and one over the
    `tail_length` bytes before `offset` say what is in it; `offset` is the byte after the last line taken, of a
    compressed file in what it unpacks to. `packed` is the size at which a compressed file was read to its end (0: not
    yet). `key` is the same for all positions of one content, whatever file that is in: a later one replaces an
    earlier one. For a pipe only `name` (``-``), `line` and `key` mean something; for a file of which nothing was read
    yet only `name`, `device` and `inode`. `at` is when the spool has kept it, in Unix seconds (0: it has not).
    """

    name: str
    line: int = 0
    offset: int = 0
    device: int = 0
    inode: int = 0
    head_length: int = 0
    head_hash: bytes = b""
    tail_length: int = 0
    tail_hash: bytes = b""
    packed: int = 0
    key: bytes = b""
    at: float = 0.0


START_POSITION = Position(name="")
"""The position of a batch that moves nothing: it is not to be kept."""


class Batch(msgspec.Struct, frozen=True):
    """Lines of one source, and what holds when all of them are durable.

    `source` is the name of what they were read from, as shown in logs, dead letters and trace. `position` is to be
    kept in the transaction that makes the lines durable, also when there are none, unless it is NOWHERE. `end`:
    nothing more will come, of all sources together; never while a file is followed.
    """

    source: str
    lines: list[Line]
    position: Position
    end: bool


class SourceLag(msgspec.Struct, frozen=True):
    """How far a source was read. `behind`: bytes not read yet (compressed, where it is that), None for a pipe."""

    source: str
    position: Position
    behind: int | None


class SourceLog(Protocol):
    """Where a source says what it came across: a log."""

    def debug(self, what: str, **fields: object) -> None: ...

    def info(self, what: str, **fields: object) -> None: ...

    def warning(self, what: str, **fields: object) -> None: ...


class LineSource(Protocol):
    """Reads in a thread of its own; never two calls of `read` at a time. Opened by `opening.open_sources`."""

    def read(self) -> Batch:
        """The next lines: at most 500, and at most about 4 MiB. Waits at most 0.1 s, then returns an empty batch.

        Raises HooklineError when a source cannot be read; while following it waits for that to be over instead.
        """
        ...

    def lags(self) -> list[SourceLag]:
        """How far each source was read that is open now. Cheap, and may be called from another thread."""
        ...

    def progress(self) -> tuple[int, int | None]:
        """Bytes read, and bytes in all where that is known: for the progress bar. From another thread, too."""
        ...

    def unfinished(self) -> list[tuple[str, int]]:
        """Once the end is reached: sources whose last line is not complete and was not taken, and its bytes so far.

        Whoever writes the file may be in the middle of that line; the next run begins with it.
        """
        ...

    def finish(self) -> None:
        """Take nothing more in. What was taken out of a pipe is nowhere else any more: `read` still gives it out, and
        then ends. May be called from another thread."""
        ...

    def close(self) -> None:
        """Give back what is open. Called once, when no `read` is under way."""
        ...
