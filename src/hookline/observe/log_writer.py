"""Writes the log in a thread of its own, behind a bounded queue, so that no reader of the log can hold up the relay.

A log can fail in many ways: its disk is full, its reader has ended, nobody reads the pipe, the terminal is closed. In
each of them lines are lost and counted. When the log works again, one line gives their number.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Final

MAX_QUEUED_CHARACTERS: Final = 4 << 20
MAX_CHARACTERS_PER_WRITE: Final = 64 << 10
# While lines are lost and no new one arrives, the thread tries to report the loss at this interval.
REPORT_SECONDS: Final = 1.0
_READY_SECONDS: Final = 1.0


class LogWriter:
    """A queue of lines and the thread that writes them. The thread never keeps the process from ending.

    `lost` is the number of lines that were not written. `failure` is the reason of the last loss.
    """

    def __init__(self, output: Callable[[str], object], lost_line: Callable[[int, str | None], str]) -> None:
        """Create the writer and start its thread.

        Args:
            output: Writes text, in the thread. It may block, and may raise OSError or ValueError.
            lost_line: Builds the line that reports a number of lost lines and the reason.
        """
        self.lost = 0
        self.failure: str | None = None
        self._output = output
        self._lost_line = lost_line
        self._reported = 0
        self._lines: deque[str] = deque()
        self._queued_characters = 0
        self._writing = False
        self._closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line, including its newline. If the queue is full, the line is lost. Never blocks."""
        with self._changed:
            if self._queued_characters + len(line) > MAX_QUEUED_CHARACTERS:
                self._lose(1, "the log is not read")
                return
            self._lines.append(line)
            self._queued_characters += len(line)
            self._changed.notify_all()

    def close(self, seconds: float) -> bool:
        """Wait up to `seconds` until all queued lines are written. Returns whether they are, and none was lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            written = self._changed.wait_for(lambda: not self._lines and not self._writing, timeout=seconds)
            return written and self.lost == self._reported

    def _lose(self, lines: int, reason: str) -> None:
        self.lost += lines
        self.failure = reason

    def _run(self) -> None:
        while True:
            text, lines, lost = self._next()
            if not text:
                return
            try:
                self._output(text)
            except (OSError, ValueError) as failed:  # ValueError: the stream is closed
                reason = getattr(failed, "strerror", None) or str(failed)
                with self._changed:
                    self._lose(lines, reason)
            else:
                with self._changed:
                    self._reported = lost
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _next(self) -> tuple[str, int, int]:
        """Wait for lines. Returns a text, its number of lines, and the losses that it reports; "" at the end."""
        with self._changed:
            while not self._lines:
                if self._closing:
                    return "", 0, 0
                unreported = self.lost > self._reported
                if not self._changed.wait(REPORT_SECONDS if unreported else None) and unreported:
                    break
            taken: list[str] = []
            size = 0
            while self._lines and size < MAX_CHARACTERS_PER_WRITE:
                taken.append(self._lines.popleft())
                size += len(taken[-1])
            self._queued_characters -= size
            self._writing = True
            lost, reason = self.lost, self.failure
        report = self._lost_line(lost - self._reported, reason) if lost > self._reported else ""
        return report + "".join(taken), len(taken), lost


class DescriptorOutput:
    """Writes text to a descriptor, such as that of stderr, without a buffer of its own.

    `content_filter` sees everything that is written, in its order.
    """

    def __init__(self, descriptor: int, content_filter: Callable[[bytes], bytes] = bytes) -> None:
        self._descriptor = descriptor
        self._filter = content_filter
        self._line_is_torn = False

    def __call__(self, text: str) -> None:
        """Write the whole text. Raises OSError; the part that was written until then ends with a torn line."""
        data = memoryview(self._filter(text.encode("utf-8", "backslashreplace")))
        if self._line_is_torn:
            data = memoryview(b"\n" + bytes(data))
        while data:
            written = self._write_some(data)
            self._line_is_torn = bytes(data[written - 1 : written]) != b"\n"
            data = data[written:]

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:  # another process has made the descriptor non-blocking
                select.select([], [self._descriptor], [], _READY_SECONDS)
