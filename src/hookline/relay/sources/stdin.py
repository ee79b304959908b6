"""A pipe, terminal or socket, usually standard input: read once, as it comes."""

from __future__ import annotations

import os
import select

from hookline.errors import HooklineError
from hookline.relay.sources.files import BYTES_A_BATCH, LINES_A_BATCH
from hookline.relay.sources.lines import LineCutter
from hookline.relay.sources.port import Batch, Position

WAIT = 0.1  # seconds: how soon a stop is noticed while nothing comes
_CHUNK = 256 * 1024


class PipeSource:
    """Reads a descriptor until its writers have closed it; the last line needs no terminator then.

    A pipe has no checkpoint: what was not read when the process dies is gone, and the producer has to run again.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._descriptor = descriptor
        self._cutter = LineCutter()
        self._read = 0
        self._ended = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLPRI)

    @property
    def name(self) -> str:
        return self._name

    @property
    def unfinished(self) -> int:
        """Nothing is left behind in a pipe that has ended."""
        return 0

    def read(self) -> Batch:
        """What is there now, after a wait of at most WAIT seconds (see LineSource).

        Raises HooklineError when the descriptor is not open or breaks.
        """
        lines = self._cutter.take(LINES_A_BATCH)
        budget = BYTES_A_BATCH
        # Lines in hand are not held back to wait for more.
        while len(lines) < LINES_A_BATCH and budget > 0 and self._is_readable(0 if lines else WAIT):
            budget -= self._pull()
            lines += self._cutter.take(LINES_A_BATCH - len(lines))
            if self._ended:
                break
        if self._ended and len(lines) < LINES_A_BATCH:
            last = self._cutter.take_rest()
            lines += [last] if last else []
            return Batch(self._name, lines, self._position(), True)
        return Batch(self._name, lines, self._position(), False)

    @property
    def reached(self) -> Position:
        """How far it was read."""
        return self._position()

    def progress(self) -> tuple[int, int | None]:
        return self._read, None

    def close(self) -> None:
        if self._descriptor > 2:
            os.close(self._descriptor)

    def _position(self) -> Position:
        return Position(name=self._name, line=self._cutter.number)

    def _is_readable(self, wait: float) -> bool:
        return not self._ended and bool(self._poll.poll(wait * 1000))

    def _pull(self) -> int:
        try:
            chunk = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise HooklineError(f"{self._describe()} cannot be read: {error.strerror}") from error
        self._ended = not chunk
        if not self._read and chunk.startswith(b"\xef\xbb\xbf"):
            chunk = chunk[3:]
        self._read += len(chunk)
        self._cutter.feed(chunk)
        return len(chunk)

    def _describe(self) -> str:
        return "standard input" if self._name == "-" else self._name
