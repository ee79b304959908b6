"""Many files, read and judged: in this process, or on every core when there are enough of them.

A worker is handed names and hands back what `judging` found, in the order of the names, so that nothing a user sees
depends on how the work was shared. Files are read by the workers: this process never holds their bytes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence

from hookline.config.files import Found, read_file
from hookline.config.judging import Judged, judge_file
from hookline.diagnostics import Diagnostic
from hookline.errors import HooklineError

# Below this the pool costs more than it saves: starting it takes as long as judging some hundred files.
ENOUGH_FOR_A_POOL = 500
_MOST_WORKERS = 8
_CHUNK = 50


def read_and_judge(found: Sequence[Found]) -> Iterator[Judged]:
    """One `Judged` for each file, in their order, from as many processes as `worker_count` allows."""
    workers = worker_count(len(found))
    if workers < 2:
        yield from map(_read_and_judge, found)
        return
    chunks = [found[start : start + _CHUNK] for start in range(0, len(found), _CHUNK)]
    yield from _on_every_core(chunks, workers)


def worker_count(files: int) -> int:
    """How many processes are worth it; 1 is this one alone.

    A fork copies one thread: with others about, locks of theirs could stay held in the copy for ever.
    """
    if files < ENOUGH_FOR_A_POOL or not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


def _on_every_core(chunks: Sequence[Sequence[Found]], workers: int) -> Iterator[Judged]:
    # Forked, not spawned: what is imported already is shared, and a worker starts in milliseconds.
    from concurrent.futures.process import (  # noqa: PLC0415 - only where a pool is worth it
        BrokenProcessPool,
        ProcessPoolExecutor,
    )
    from multiprocessing import get_context  # noqa: PLC0415

    pool = ProcessPoolExecutor(workers, mp_context=get_context("fork"), initializer=_ignore_interrupts)
    try:
        for judged in pool.map(_read_and_judge_all, chunks):
            yield from judged
    except BrokenProcessPool as broken:
        hint = "look for a lack of memory, then run it again"
        raise HooklineError("a process that was reading webhook files has died", hint=hint) from broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal: the first one stops the others, without their tracebacks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_and_judge_all(found: Sequence[Found]) -> list[Judged]:
    return [_read_and_judge(each) for each in found]


def _read_and_judge(found: Found) -> Judged:
    file = read_file(found)
    return Judged((), (file,)) if isinstance(file, Diagnostic) else judge_file(file)
