"""Reads a pipe, terminal or socket, usually standard input."""

from __future__ import annotations

import os

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.checkpoints import pipe_position
from hookline.relay.sources.decompression import PACKED, Compression, Decompressor, compression_of, refuse_compression
from hookline.relay.sources.files.read_context import StrayBytes
from hookline.relay.sources.line_splitter import LineSplitter
from hookline.relay.sources.source import (
    MAX_BYTES_PER_BATCH,
    MAX_LINES_PER_BATCH,
    START_POSITION,
    Position,
    SourceLag,
    SourceLog,
)
from hookline.relay.sources.timing import Timing

# What a pipe of Linux holds by default. The C library maps the memory of a larger buffer anew for each read.
_READ_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024  # of decompressed data


class PipeReader:
    """Reads a descriptor until its writers have closed it. The last line then needs no terminator.

    A pipe has no checkpoint. If the process dies, unread data is lost and the producer has to run again.

    Args:
        name: the name of the pipe, ``-`` for standard input.
        descriptor: closed by `close`, except for standard input, output and error.
        logger, timing: the log, the clocks and the waits of the source.
        stop: a descriptor that ends a wait when it is readable.
        stray: counts the bytes that are dropped before lines.
        reopens: a named pipe that is followed does not end; the data of its next writer is a new stream.

    Attributes:
        ended: all data was read and no writer can follow.
        bytes_read: the bytes read from the pipe.
        is_damaged: compressed data that cannot be decompressed to its end.
        has_no_writers: the last writer has closed the pipe.
    """

    def __init__(
        self,
        name: str,
        descriptor: int,
        logger: SourceLog,
        timing: Timing,
        *,
        stop: int | None = None,
        stray: StrayBytes | None = None,
        reopens: bool = False,
    ) -> None:
        self.name = name
        self.descriptor = descriptor
        self.ended = False
        self.bytes_read = 0
        self.has_no_writers = False
        self._reopens = reopens
        self._finishing = False
        self._logger = logger
        self._stray = stray or StrayBytes(logger)
        self._splitter = LineSplitter()
        self._taken_line = 0
        self._timing = timing
        self._polled = [descriptor] if stop is None else [descriptor, stop]
        self._reset()

    def _reset(self) -> None:
        self._undetermined: bytes | None = b""  # the first bytes, while it is undecided whether they are compressed
        self._decompressor: Decompressor | None = None
        self.is_damaged = False
        self._writers_gone = False

    def read(self, wait: float) -> list[Line]:
        """Returns the available lines, within the limits of LineSource. Without any, waits at most `wait` seconds.

        Raises HooklineError if the descriptor cannot be read.
        """
        try:
            return self._read(wait)
        finally:
            self._stray.count(self.name, self._splitter)

    def _read(self, wait: float) -> list[Line]:
        lines: list[Line] = []
        budget = MAX_BYTES_PER_BATCH
        while budget > 0 and not self.ended:
            lines += self._splitter.take(MAX_LINES_PER_BATCH - len(lines))
            if len(lines) == MAX_LINES_PER_BATCH:
                break
            piece = self._decompressed()
            if not piece and self._writers_gone:
                lines += self._take_last_line()
                break
            if not piece:
                # Does not wait if there are lines to return.
                data = self._read_available(0 if lines else wait)
                if data is None:
                    break
                budget -= len(data)
                self.bytes_read += len(data)
                piece = self._plain_bytes(data)
            budget -= len(piece)
            self._splitter.feed(piece)
        return lines

    def finish(self) -> None:
        """Stops reading from the pipe. `read` still returns the lines that were taken from it."""
        self._finishing = True

    @property
    def unfinished_bytes(self) -> int:
        return self._splitter.unfinished_bytes

    def take_position(self) -> Position:
        """Returns the position after the last `read`, or START_POSITION if it has not changed since the last call."""
        before, self._taken_line = self._taken_line, self._splitter.number
        return START_POSITION if before == self._taken_line else pipe_position(self.name, self._taken_line)

    def lag(self) -> SourceLag:
        return SourceLag(self.name, pipe_position(self.name, self._splitter.number), None)

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)

    def _read_available(self, wait: float) -> bytes | None:
        """Returns None if no data is available, and no bytes if the writers have closed the pipe."""
        if self._finishing or self.descriptor not in self._timing.poll(self._polled, wait):
            return None
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            name = "standard input" if self.name == "-" else self.name
            raise HooklineError(f"{name} cannot be read: {error.strerror}") from error
        self._writers_gone = self.has_no_writers = not data
        return data

    def _plain_bytes(self, data: bytes) -> bytes:
        """Returns the data that needs no decompression. Feeds compressed data to the decompressor."""
        if self._undetermined is not None:
            data, self._undetermined = self._undetermined + data, None
            compression = compression_of(data)
            if compression is Compression.UNKNOWN and not self._writers_gone:
                self._undetermined = data
                return b""
            refuse_compression(self.name, compression)
            if compression in PACKED:
                self._decompressor = Decompressor()
        if self._decompressor is None:
            return data
        self._decompressor.feed(data)
        return b""

    def _decompressed(self) -> bytes:
        if self._decompressor is None:
            return b""
        piece = self._decompressor.next(_PIECE_BYTES)
        if self._decompressor.damage and not self.is_damaged:
            self._log_damage(self._decompressor.damage)
        return piece

    def _log_damage(self, reason: str) -> None:
        self.is_damaged = True
        event = "compressed input is damaged, its intact part was read"
        self._logger.warning(event, source=self.name, reason=reason, line=self._splitter.number)

    def _take_last_line(self) -> list[Line]:
        """Returns the last line, after the writers have closed the pipe and all data was decompressed."""
        if self._decompressor is not None and not self.is_damaged and not self._decompressor.is_complete:
            self._log_damage("it ends too early")
        last = self._splitter.take_unterminated()
        self._reset()
        self._splitter.end_stream()
        self.ended = not self._reopens
        return [last] if last else []
