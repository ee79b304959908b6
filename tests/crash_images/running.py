"""Records runs in processes of their own, on a disk in memory where the machine has one."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from crash_images import recording_strace
from crash_images.disk import Disk
from crash_images.mutants import plant_in_record
from crash_images.record import Killed, Record, Returned, Script, load_record
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
    traced: bool | None = None,
) -> Record:
    """Record one run. The same arguments give the same record.

    Args:
        seed: The run is drawn from it.
        calls: The number of drawn calls.
        script: The names of calls to make first.
        mutant: The fault to plant, by its name in mutants.py.
        traced: Record with strace (True), or with a VFS of SQLite (False). None: with strace if the VFS cannot be
            used. The bytes of a traced run are not the same each time, because SQLite draws random numbers.

    Returns:
        The record.

    Raises:
        CannotRecord: SQLite cannot be observed here.
    """
    arguments = [
        *("--seed", str(seed)), *("--calls", str(calls)), *("--mutant", mutant),
        *(("--script", *script) if script else ()),
    ]  # fmt: skip
    try:
        record = _traced(arguments) if traced else _observed(arguments)
    except CannotRecord as reason:
        if traced is not None:
            raise
        try:
            record = _traced(arguments)
        except CannotRecord as second:
            raise CannotRecord(f"{reason}; {second}") from second
    record.steps = plant_in_record(mutant, record.steps)
    return record


def record_after_kill(record: Record, cut: int, *, calls: int = CALLS_OF_A_RUN) -> Record:
    """Record a second process on the spool of a first one that was killed after `cut` steps.

    Returns the record of both. Raises CannotRecord.
    """
    disk = Disk()
    for step in record.steps[:cut]:
        disk.make(step)
    lines = next((step.lines for step in reversed(record.steps[:cut]) if isinstance(step, Returned)), {})
    killed = Killed(disk.files(disk.everything()), disk.names(), lines)
    arguments = ["--seed", str(record.seed), "--calls", str(calls)]
    second = _observed(arguments, killed)
    both = Script(
        first_lines=record.script.first_lines | second.script.first_lines,
        rejected_lines=record.script.rejected_lines | second.script.rejected_lines,
        removed=record.script.removed | second.script.removed,
        removed_lines=record.script.removed_lines | second.script.removed_lines,
        events=record.script.events | second.script.events,
    )
    return Record(record.seed, [*record.steps[:cut], *second.steps], both)


def _observed(arguments: Sequence[str], killed: Killed | None = None) -> Record:
    with fast_directory() as directory:
        if killed is not None:
            (directory / "killed").write_bytes(pickle.dumps(killed))
            arguments = [*arguments, "--killed", str(directory / "killed")]
        ran = _run((), directory, arguments)
        if ran.returncode == EXIT_UNSUPPORTED:
            raise CannotRecord(ran.stdout.strip())
        ran.check_returncode()
        return load_record(directory / "record")


def _traced(arguments: Sequence[str]) -> Record:
    if not recording_strace.available():
        raise CannotRecord("strace is not installed")
    with fast_directory() as directory:
        output, marks = directory / "strace", directory / "marks"
        ran = _run((*recording_strace.COMMAND, "-o", str(output)), directory, [*arguments, "--marks", str(marks)])
        if ran.returncode != 0:
            raise CannotRecord(f"strace failed with exit code {ran.returncode}")
        record = load_record(directory / "record")
        record.steps = recording_strace.parse(output.read_text(), directory / "root", marks, record.steps)
    return record


def _run(tracer: Sequence[str], directory: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    (directory / "root").mkdir()
    program = (sys.executable, "-m", "crash_images.run_recorded", str(directory / "root"), str(directory / "record"))
    return subprocess.run(
        (*tracer, *program, *arguments), cwd=TESTS, text=True, stdout=subprocess.PIPE, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
