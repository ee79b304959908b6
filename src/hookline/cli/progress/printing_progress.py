"""A progress bar for work on many files that prints a text for some of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

# Fewer are done before a bar can be read.
_MIN_FILES_FOR_BAR: Final = 200


@contextmanager
def printing_progress(label: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that takes the number done, and a text for stdout, which may be empty.

    If stderr is not a terminal, and for few files, it only prints. If stdout is a terminal too, the text comes above
    the bar, and the bar is on stdout: with two streams, the text would be in the middle of the bar.
    """
    if total < _MIN_FILES_FOR_BAR or not sys.stderr.isatty():
        yield lambda _done, text: click.echo(text, nl=False)
        return
    # Importing rich takes time.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    is_shared = sys.stdout.isatty()
    columns = (TextColumn(label), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(file=sys.stdout) if is_shared else Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task(label, total=total)

        def step(done: int, text: str) -> None:
            if text and is_shared:
                console.out(text, highlight=False, end="")
            elif text:
                click.echo(text, nl=False)
            progress.update(task, completed=done)

        yield step
