"""Records runs in processes of their own, on a disk in memory where the machine has one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crash_images.mutants import plant_in_record
from crash_images.record import Record, load_record
from crash_images.run_recorded import EXIT_UNSUPPORTED

TESTS: Final = Path(__file__).parents[1]
CALLS_OF_A_RUN: Final = 60
_MEMORY: Final = Path("/dev/shm")


class CannotRecord(Exception):
    """This machine has no way to record the changes that SQLite makes."""


@contextmanager
def fast_directory() -> Iterator[Path]:
    """An empty directory, in memory if possible."""
    with tempfile.TemporaryDirectory(prefix="crash-images-", dir=_MEMORY if _MEMORY.is_dir() else None) as path:
        yield Path(path)


def record_run(
    seed: int,
    *,
    calls: int = CALLS_OF_A_RUN,
    script: Sequence[str] = ("enqueue",),
    mutant: str = "",
    strict: bool = False,
) -> Record:
    """Record one run. The same arguments give the same record.

    Args:
        seed: The run is drawn from it.
        calls: The number of drawn calls.
        script: The names of calls to make first.
        mutant: The fault to plant, by its name in mutants.py.
        strict: Expect also the promises that the spool is known to break.

    Returns:
        The record.

    Raises:
        CannotRecord: SQLite cannot be observed here.
    """
    with fast_directory() as directory:
        (directory / "root").mkdir()
        ran = subprocess.run(
            (
                sys.executable, "-m", "crash_images.run_recorded", directory / "root", directory / "record",
                *("--seed", str(seed)), *("--calls", str(calls)), *("--mutant", mutant),
                *(("--strict",) if strict else ()), *(("--script", *script) if script else ()),
            ),
            cwd=TESTS, env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "0"}, text=True,
            stdout=subprocess.PIPE, timeout=300, check=False,
        )  # fmt: skip
        if ran.returncode == EXIT_UNSUPPORTED:
            raise CannotRecord(ran.stdout.strip())
        ran.check_returncode()
        record = load_record(directory / "record")
    record.steps = plant_in_record(mutant, record.steps)
    return record
