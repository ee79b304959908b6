"""The progress bar of a relay on a terminal."""

from __future__ import annotations

import io
import os
import select
import sys
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from typing import IO, Final, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hookline.cli.output.standard_streams import StandardStream
from hookline.cli.output.tables import duration_text
from hookline.relay import relay

_RATE_WINDOW_SECONDS: Final = 5.0
_STEP_SECONDS: Final = 2.0


class _Terminal(io.TextIOBase):
    """Writes to the terminal of stderr without its buffer.

    A thread that waits for a stopped terminal would hold the lock of the buffer, and the process would wait for that
    lock at its end. `failure`: the terminal is closed, and all further text is dropped.
    """

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self._descriptor = sys.stderr.fileno()
        raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
        self._filter = raw.filtered if isinstance(raw, StandardStream) else bytes

    def write(self, text: str) -> int:
        data = memoryview(self._filter(text.encode("utf-8", "backslashreplace")))
        while data and self.failure is None:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process has made the descriptor non-blocking
                select.select([], [self._descriptor], [])
            except OSError as failed:
                self.failure = failed
        return len(text)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A relay's progress on stderr, visible inside the context.

    The bar shows the input that was read. After the end of the input (with `--drain`: from the start) it shows the
    deliveries that were pending then. Input without a known end (a pipe, `--follow`) has no percentage.
    """

    def __init__(self) -> None:
        self._terminal = _Terminal()
        self._console = Console(file=cast("IO[str]", self._terminal))
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("read", total=None, counts="")
        self._carried: int | None = None
        self._samples: deque[tuple[float, int]] = deque()

    def __enter__(self) -> ProgressBar:
        """Show the bar. A terminal that is stopped holds up the start and the end for a moment only."""
        self._run_briefly(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        self._run_briefly(self._progress.stop)

    def _start(self) -> None:
        self._progress.start()
        self._console.show_cursor(True)  # a killed process would leave the cursor hidden

    @staticmethod
    def _run_briefly(step: Callable[[], None]) -> None:
        thread = Thread(target=step, name="progress", daemon=True)
        thread.start()
        thread.join(_STEP_SECONDS)

    def write(self, line: str) -> None:
        """Write a line above the bar, unchanged: the terminal wraps it, and rich neither breaks nor colours it.

        Raises OSError if the terminal is closed.
        """
        self._console.out(line, highlight=False, end="")
        if self._terminal.failure is not None:
            raise self._terminal.failure

    def show(self, now: relay.Progress) -> None:
        """Update the bar. The relay calls this several times per second."""
        if now.draining:
            self._carried = max(self._carried or 0, now.tally["pending"])
            done, total, label = self._carried - now.tally["pending"], self._carried or None, "settled"
        else:
            done, total, label = now.bytes_read, now.bytes_total, "read"
        self._progress.update(
            self._task, description=label, completed=done, total=total, counts=progress_counter(now, self._rate(now))
        )

    def _rate(self, now: relay.Progress) -> float | None:
        """Deliveries per second over the last `_RATE_WINDOW_SECONDS`; None before the second sample."""
        self._samples.append((now.at, now.tally.get("delivered", 0)))
        while now.at - self._samples[0][0] > _RATE_WINDOW_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        (then, before), (at, delivered) = self._samples[0], self._samples[-1]
        return (delivered - before) / (at - then) if at > then else None


def progress_counter(now: relay.Progress, rate: float | None) -> str:
    """The counts beside the bar. `rate` is in deliveries per second."""
    tally = now.tally
    parts = [] if now.draining else [f"{tally.get('read', 0):,} read"]
    speed = "" if rate is None else f" ({rate:,.0f}/s)"
    parts += [f"{tally.get('delivered', 0):,} delivered{speed}", f"{tally['pending']:,} pending"]
    if now.oldest is not None and tally["pending"]:
        parts.append(f"oldest {duration_text(now.oldest)}")
    return ", ".join(parts)
