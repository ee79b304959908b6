"""`status --watch`: redraws the status in place, on the alternate screen of the terminal.

A thread reads the status, so that a database that does not answer holds up neither Ctrl-C nor a change of the
terminal's size. Signals and results wake the main thread by a pipe. The reading only reads, beside a relay.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from threading import Event, Thread
from typing import Final

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.text import Text

from hookline.cli.status.status_frame import screen
from hookline.cli.status.status_report import StatusReport, read_limits, read_report
from hookline.errors import HooklineError, WrongUse
from hookline.relay.spool.factory import SpoolStore, spool_place, spool_store

# A read that takes long is repeated less often: it uses at most this part of a core.
READ_SHARE: Final = 0.2
SILENT_WATCH_SECONDS: Final = 5.0  # after this time, the screen says that the spool does not answer
REDRAW_SECONDS: Final = 1.0
UNKNOWN_SIZE: Final = ConsoleDimensions(80, 24)
# The signals that end or suspend a process. A killed process cannot leave the alternate screen.
ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)


def watch_status(spool: str, state: str, *, interval_seconds: float, everything: bool) -> None:
    """Show the status until Ctrl-C, which is the end of a watch like any other: it returns.

    Args:
        spool: The location of the spool.
        state: The location of the state.
        interval_seconds: How often the status is read.
        everything: Show all rows of long tables, as far as the terminal has room.

    Raises:
        SpoolUnusable: The spool cannot be read at the start. Later, the screen shows the reason.
        WrongUse: The terminal cannot move its cursor.
    """
    console = Console(file=sys.stdout)
    if console.is_dumb_terminal:
        raise WrongUse("--watch needs a terminal that can move its cursor", hint="TERM names a dumb one")
    store = spool_store(spool)
    first = read_report(store.statistics(), applied=partial(read_limits, state), now=time.time())
    with wake_ups() as wake:
        reader = StatusReader(store, state, interval_seconds, first, wake.write)
        reader.start()
        StatusWatch(console, reader, spool_place(store), wake, everything=everything).run()


class WakePipe:
    """Wakes the main thread. `stop_requested` is the number of the signal that stops or suspends the process."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self.stop_requested: int | None = None

    def write(self, *_: object) -> None:
        with suppress(OSError):  # full: it will wake up anyway; closed: the watch has ended
            os.write(self._writing, b"w")

    def request_stop(self, number: int, _frame: object) -> None:
        self.stop_requested = number
        self.write()

    def wait(self, seconds: float) -> None:
        if select.select([self._reading], [], [], seconds)[0]:
            os.read(self._reading, 4096)

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


@contextmanager
def wake_ups() -> Iterator[WakePipe]:
    """A pipe that is written when the terminal's size changes, and when the process shall stop.

    A signal that the process ignores, such as SIGHUP below nohup, remains ignored.
    """
    wake = WakePipe()
    with ExitStack() as stack:
        stack.callback(wake.close)
        stack.callback(signal.signal, signal.SIGWINCH, signal.signal(signal.SIGWINCH, wake.write))
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, wake.request_stop))
        yield wake


class StatusReader(Thread):
    """Reads the status again and again. `report` is the latest, `read_at` the even time of the latest result.

    `problem` is the reason why the latest read failed; None: it did not. `fault` is an error that nobody expected.
    """

    def __init__(
        self,
        store: SpoolStore,
        state: str,
        interval_seconds: float,
        first: StatusReport,
        wake: Callable[[], None],
    ) -> None:
        """Create it. `wake` is called after each read."""
        super().__init__(name="status", daemon=True)
        self.report = first
        self.read_at = time.monotonic()
        self.problem: str | None = None
        self.fault: Exception | None = None
        self._store = store
        self._state = state
        self.interval_seconds = interval_seconds
        self._wake = wake
        self._never = Event()

    def run(self) -> None:
        statistics, cost = self._store.statistics(), 0.0
        while self.fault is None:
            self._never.wait(max(self.interval_seconds, cost / READ_SHARE))
            started = time.monotonic()
            try:
                self.report = read_report(statistics, applied=partial(read_limits, self._state), now=time.time())
                self.problem = None
            except HooklineError as failed:
                self.problem = failed.message
            except Exception as fault:  # shown by the main thread, after it has left the screen
                self.fault = fault
            self.read_at = time.monotonic()
            cost = self.read_at - started
            self._wake()


class StatusWatch:
    """Draws the latest status."""

    def __init__(
        self, console: Console, reader: StatusReader, place: str, wake: WakePipe, *, everything: bool
    ) -> None:
        self._console = console
        self._reader = reader
        self._place = place
        self._wake = wake
        self._everything = everything

    def run(self) -> None:
        """Draw until Ctrl-C. The terminal is then as it was before, as it is while the process is suspended."""
        while True:
            with Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live:
                while self._wake.stop_requested is None:
                    if self._reader.fault is not None:
                        raise self._reader.fault
                    self._draw(live)
                    self._wake.wait(REDRAW_SECONDS)
            number, self._wake.stop_requested = self._wake.stop_requested, None
            if number == signal.SIGINT:
                return
            self._pass_on(number)

    @staticmethod
    def _pass_on(number: int) -> None:
        """End or suspend the process, as without a handler. A process that continues draws again."""
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, handler)

    def _draw(self, live: Live) -> None:
        size = _terminal_size(sys.stdout.fileno())
        self._console.size = size
        problem, silent = self._reader.problem, time.monotonic() - self._reader.read_at
        if problem is None and silent > max(SILENT_WATCH_SECONDS, 2 * self._reader.interval_seconds):
            problem = "the spool does not answer"
        shown = screen(
            self._reader.report, place=self._place, now=time.time(), problem=problem, everything=self._everything,
            size=(size.width, size.height),
        )  # fmt: skip
        lines = [_line(shown.title, "bold")]
        lines += [] if shown.problem is None else [_line(shown.problem, "bold red")]
        live.update(Group(*lines, *(_line(text, "") for text in shown.body)), refresh=True)


def _terminal_size(descriptor: int) -> ConsoleDimensions:
    """The size of a terminal. A serial line, or a container's terminal, may not know it and says 0."""
    known = os.get_terminal_size(descriptor)
    return ConsoleDimensions(known.columns or UNKNOWN_SIZE.width, known.lines or UNKNOWN_SIZE.height)


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
