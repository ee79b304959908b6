"""Progress bars on a terminal, of work on many dead letters, rows or files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hookline.relay.spool.admin import Count

# Smaller amounts are done before a bar can be read.
_MIN_LETTERS_FOR_BAR: Final = 5000


@contextmanager
def count_progress(label: str, total: int | None) -> Iterator[Callable[[Count], None] | None]:
    """Yield a function that takes the count so far; None if no bar is shown. `total` is None if it is unknown."""
    if total is not None and total < _MIN_LETTERS_FOR_BAR:
        yield None
        return
    with progress_bar(label) as update:
        yield None if update is None else lambda count: update(count.total, total)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """Yield a function that takes the number done and the total, if known; None if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    from rich.console import Console  # noqa: PLC0415 - few runs have a terminal, and loading it takes long
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn(label), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(label, total=None)

        def update(done: int, total: int | None) -> None:
            progress.tasks[task].total = total  # Progress.update would keep the previous total
            progress.update(task, completed=done)

        yield update
