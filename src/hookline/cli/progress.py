"""A progress bar for a relay on a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hookline.relay import daemon


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Shown on stderr while entered; lines written to sys.stderr meanwhile appear above it."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("read"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._task = self._progress.add_task("relay", total=None, counts="")

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, now: daemon.Progress) -> None:
        """Called some times a second."""
        tally = now.tally
        counts = (
            f"{tally.get('read', 0):,} read, {tally.get('delivered', 0):,} delivered, {tally['pending']:,} pending"
        )
        self._progress.update(self._task, completed=now.bytes_read, total=now.bytes_total, counts=counts)
