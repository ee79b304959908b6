"""The port of the relay's input: one object for all sources that the command line names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from hookline.relay.delivery_record import Line

MAX_LINES_PER_BATCH = 500
MAX_BYTES_PER_BATCH = 4 * 1024 * 1024


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The position up to which a source is acknowledged. The spool stores it in the transaction of the lines before
    it.

    A pipe has only `name` (``-``), `line` and `key`. A file of which nothing was read has only `name`, `device` and
    `inode`.

    Attributes:
        name: the name of the source when it was read.
        line: the number of lines before the position.
        offset: the byte after the last line. For a compressed file, an offset in the decompressed content.
        device, inode: the file that had the content.
        head_length, head_hash: the number of the content's first bytes that are hashed, and their hash.
        tail_length, tail_hash: the number of hashed bytes before `offset`, and their hash.
        packed: the size in bytes at which a compressed file was read to its end; 0 before that.
        key: the identity of the content, in any file. A later position with the same key replaces an earlier one.
        target: the resolved path of the file if it was read through a link, otherwise empty.
        marks: hashes that identify the content if the file has lost its tail (files/content_marks.py).
        at: the time at which the spool stored the position, in Unix seconds; 0 before that.
        follows: the `offset` that the stored position of this key must have, or 0 if none is stored. Otherwise the
            spool stores nothing. None: any. Not stored. The position of a log has it, because several readers may
            move it. `key` is then not empty, and the number of a line of a log is its offset.
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
    target: str = ""
    marks: bytes = b""
    at: float = 0.0
    follows: int | None = None


START_POSITION = Position(name="")
"""The position of a batch that does not move its source. The spool does not store it."""


class Messages(msgspec.Struct, frozen=True):
    """Messages of a stream that delivers a message again until it is acknowledged. The spool knows those that it has
    stored, and refuses them.

    Attributes:
        stream: the identity of the stream and of its consumer, 16 bytes. A stream that was deleted and created again
            has another one.
        numbers: the sequence number of each message, without repetitions.
        floor: no message up to this number is delivered again.
    """

    stream: bytes
    numbers: Sequence[int]
    floor: int = 0


class Batch(msgspec.Struct, frozen=True):
    """Lines of one source, and its position after them.

    Attributes:
        source: the name of the source in logs, dead letters and trace.
        lines: the lines, possibly none.
        position: stored in the transaction that makes the lines durable, also without lines, unless it is
            START_POSITION.
        end: all sources are at their end. Never true while a source is followed.
        messages: the messages of a stream, one for each line. None: the lines are known by the position.
        epoch: the epoch of the lease under which the lines were read; the spool refuses them with PositionMoved after
            the lease was lost. None: the source needs no lease.
        on_durable: called on the event loop after all lines and the position are durable. Must not block.
        on_dropped: called on the event loop if lines were dropped because another reader has moved the position
            (`Position.follows`), perhaps more than once. Must not block. The source continues from the stored
            position.
    """

    source: str
    lines: list[Line]
    position: Position
    end: bool
    messages: Messages | None = None
    epoch: int | None = None
    on_durable: Callable[[], None] | None = None
    on_dropped: Callable[[], None] | None = None


class SourceLag(msgspec.Struct, frozen=True):
    """The position of a source, and its unread bytes (compressed ones of a compressed file; None for a pipe). Of a
    distributed log it has the number of unread messages instead.
    """

    source: str
    position: Position
    unread_bytes: int | None
    unread_messages: int | None = None


class SourceLog(Protocol):
    def debug(self, what: str, **fields: object) -> None: ...
    def info(self, what: str, **fields: object) -> None: ...
    def warning(self, what: str, **fields: object) -> None: ...


class LineSource(Protocol):
    """All sources of a run, from `open_sources`. One call of `read` at a time, in a thread of its own."""

    def read(self) -> Batch:
        """Returns the next lines: at most MAX_LINES_PER_BATCH, and about MAX_BYTES_PER_BATCH. If there are none,
        waits at most Timing.wait_seconds and returns an empty batch. `finish` ends the wait.

        Raises HooklineError if a source cannot be read. A source that is followed retries instead.
        """

    def lags(self) -> list[SourceLag]:
        """Returns the lag of each open source. Cheap. Called from any thread."""

    def progress(self) -> tuple[int, int | None]:
        """Returns the bytes read, and the total if it is known, for the progress bar. Called from any thread."""

    def stray_bytes(self) -> int:
        """Returns the number of bytes that were dropped before lines since the start. Called from any thread."""

    def unfinished(self) -> list[tuple[str, int]]:
        """Returns the sources with unread bytes, and their number: an incomplete last line. The number is 0 for the
        rest of a damaged archive, or of a file that was replaced during the run.

        Called after the end. The next run begins with them.
        """

    def already_read(self) -> list[str]:
        """Returns the sources that an earlier run had read to their end. Called after the end."""

    def finish(self) -> None:
        """Stops reading from the sources. Data from a pipe exists nowhere else, so `read` still returns the lines
        that were taken from it, and then ends. Called from any thread.
        """

    def close(self) -> None:
        """Closes all sources. Called once, after the last `read`."""
