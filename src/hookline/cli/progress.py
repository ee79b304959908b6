"""A progress bar for a relay on a terminal."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from hookline.cli.tables import duration_text
from hookline.relay import relay
from hookline.relay.spool.admin import Count

_RATE_OVER_SECONDS = 5.0


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Shown on stderr while entered. It measures the input, and after its end (`--drain`: from the start) what was
    pending then; where the input has no end in sight (a pipe, `--follow`) it only shows that something goes on."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
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
        self._seen: deque[tuple[float, int]] = deque()

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        self._console.show_cursor(True)  # a process that is killed would leave the terminal without one
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def write(self, line: str) -> None:
        """A line above the bar, as it is: the terminal wraps a long one, nothing breaks or colours it."""
        self._console.out(line, highlight=False, end="")

    def show(self, now: relay.Progress) -> None:
        """Called some times a second."""
        if now.draining:
            self._carried = max(self._carried or 0, now.tally["pending"])
            done, total, what = self._carried - now.tally["pending"], self._carried or None, "settled"
        else:
            done, total, what = now.bytes_read, now.bytes_total, "read"
        self._progress.update(
            self._task, description=what, completed=done, total=total, counts=progress_counter(now, self._rate(now))
        )

    def _rate(self, now: relay.Progress) -> float | None:
        """Events delivered by second, over the last seconds."""
        self._seen.append((now.at, now.tally.get("delivered", 0)))
        while now.at - self._seen[0][0] > _RATE_OVER_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        (then, before), (at, delivered) = self._seen[0], self._seen[-1]
        return (delivered - before) / (at - then) if at > then else None


def progress_counter(now: relay.Progress, rate: float | None) -> str:
    """What stands beside the bar."""
    tally = now.tally
    parts = [] if now.draining else [f"{tally.get('read', 0):,} read"]
    speed = "" if rate is None else f" ({rate:,.0f}/s)"
    parts += [f"{tally.get('delivered', 0):,} delivered{speed}", f"{tally['pending']:,} pending"]
    if now.oldest is not None and tally["pending"]:
        parts.append(f"oldest {duration_text(now.oldest)}")
    return ", ".join(parts)


# A progress bar for what is done to many dead letters or rows, on a terminal.
# Fewer are done before anybody has read a bar.
_MANY: Final = 5000


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[Count], None] | None]:
    """What is to be told the count so far, None where nobody would see it. `total` None: nobody knows it."""
    if total is not None and total < _MANY:
        yield None
        return
    with progress_bar(what) as told:
        yield None if told is None else lambda count: told(count.total, total)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """The bar itself: what is to be told how many are done, and of how many where that is known. None: nobody would
    see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only when there is something to show
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(what, total=None)

        def tell(done: int, total: int | None) -> None:
            progress.tasks[task].total = total  # `update` would keep one that is not known any more
            progress.update(task, completed=done)

        yield tell
