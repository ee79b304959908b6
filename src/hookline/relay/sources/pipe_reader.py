"""A pipe, terminal or socket, usually standard input: read once, as it comes."""

from __future__ import annotations

import os
import select

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.checkpoints import pipe_position
from hookline.relay.sources.decompression import (
    MAX_MAGIC_BYTES,
    Compression,
    DamagedArchive,
    Decompressor,
    compression_of,
    refuse_compression,
)
from hookline.relay.sources.line_splitter import LineSplitter
from hookline.relay.sources.source import (
    MAX_BYTES_PER_BATCH,
    MAX_LINES_PER_BATCH,
    START_POSITION,
    Position,
    SourceLag,
    SourceLog,
)

_CHUNK = 256 * 1024


class PipeReader:
    """Reads a descriptor until its writers have closed it; the last line needs no terminator then.

    A pipe has no checkpoint: what was not read when the process dies is gone, and the producer has to run again.
    `lasting`: a named pipe that is followed does not end; what its next writer brings begins anew. `deserted`: it has
    none at the moment.
    """

    def __init__(self, name: str, descriptor: int, notes: SourceLog, *, lasting: bool = False) -> None:
        self.name = name
        self.descriptor = descriptor
        self.ended = False
        self.bytes_read = 0
        self.deserted = False
        self._lasting = lasting
        self._finishing = False
        self._notes = notes
        self._cutter = LineSplitter()
        self._kept = 0
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLPRI)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._first: bytes | None = b""  # what came while it cannot be told whether it is compressed
        self._unpacker: Decompressor | None = None
        self._broken = False
        self._begun = False
        self._writers_gone = False

    def read(self, wait: float) -> list[Line]:
        """What is there now, after a wait of at most `wait` seconds, within the bounds of LineSource.

        Raises HooklineError when the descriptor is not open or breaks.
        """
        lines: list[Line] = []
        budget = MAX_BYTES_PER_BATCH
        while budget > 0 and not self.ended:
            if self._begun:
                lines += self._cutter.take(MAX_LINES_PER_BATCH - len(lines))
            if len(lines) == MAX_LINES_PER_BATCH:
                break
            piece = self._unpacked()
            if not piece and self._writers_gone:
                lines += self._end()
                break
            if not piece:
                # Lines in hand are not held back to wait for more.
                came = self._pull(0 if lines else wait)
                if came is None:
                    break
                budget -= len(came)
                self.bytes_read += len(came)
                piece = self._accept(came)
            budget -= len(piece)
            self._cutter.feed(piece)
            self._begun = self._begun or self._cutter.begin()
        return lines

    def finish(self) -> None:
        """Take nothing more out of the pipe; `read` gives what was taken."""
        self._finishing = True

    @property
    def unfinished(self) -> int:
        """The bytes of a line that has begun and not ended."""
        return self._cutter.unfinished

    def take_position(self) -> Position:
        """The position after the lines of the last `read`, or NOWHERE when that has not moved since the last call."""
        before, self._kept = self._kept, self._cutter.number
        return START_POSITION if before == self._kept else pipe_position(self.name, self._kept)

    def lag(self) -> SourceLag:
        return SourceLag(self.name, pipe_position(self.name, self._cutter.number), None)

    def close(self) -> None:
        if self.descriptor > 2:
            os.close(self.descriptor)

    def _pull(self, wait: float) -> bytes | None:
        """None: nothing is there. Empty: the writers are gone."""
        if self._finishing or not self._poll.poll(wait * 1000):
            return None
        try:
            came = os.read(self.descriptor, _CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise HooklineError(f"{self._describe()} cannot be read: {error.strerror}") from error
        self._writers_gone = self.deserted = not came
        return came

    def _accept(self, came: bytes) -> bytes:
        """What of it can be cut into lines at once: nothing of what is compressed."""
        if self._first is not None:
            came, self._first = self._first + came, None
            packing = compression_of(came[:MAX_MAGIC_BYTES])
            if packing is Compression.UNKNOWN and not self._writers_gone:
                self._first = came
                return b""
            refuse_compression(self.name, packing)
            if packing in {Compression.GZIP, Compression.ZSTD}:
                self._unpacker = Decompressor()
        if self._unpacker is None:
            return came
        if not self._broken:
            self._unpacker.feed(came)
        return b""

    def _unpacked(self) -> bytes:
        if self._unpacker is None or self._broken:
            return b""
        try:
            return self._unpacker.next(_CHUNK)
        except DamagedArchive as error:
            self._say_damaged(str(error))
            return b""

    def _say_damaged(self, reason: str) -> None:
        self._broken = True
        self._notes.warning(
            "compressed input is damaged, its intact part was read",
            source=self.name,
            reason=reason,
            line=self._cutter.number,
        )

    def _end(self) -> list[Line]:
        """The writers are gone and everything was unpacked: what is there is the last line."""
        if self._unpacker is not None and not self._broken and not self._unpacker.whole:
            self._say_damaged("it ends too early")
        last = self._cutter.take_rest()
        self._begin_anew()
        self._cutter.end_of_part()
        self.ended = not self._lasting
        return [last] if last else []

    def _describe(self) -> str:
        return "standard input" if self.name == "-" else self.name
