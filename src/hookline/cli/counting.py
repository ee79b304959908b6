"""A progress bar for what is done to many dead letters or rows, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hookline.relay.spool.admin import Count

# Fewer are done before anybody has read a bar.
_MANY: Final = 5000


@contextmanager
def counting(what: str, total: int | None) -> Iterator[Callable[[Count], None] | None]:
    """What is to be told the count so far, None where nobody would see it. `total` None: nobody knows it."""
    if total is not None and total < _MANY:
        yield None
        return
    with shown(what) as told:
        yield None if told is None else lambda count: told(count.total, total)


@contextmanager
def shown(what: str) -> Iterator[Callable[[int, int | None], None] | None]:
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
