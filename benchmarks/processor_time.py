"""The processor time and the wake-ups of a running process, from the kernel's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a process so far: seconds of processor time, user and system, and wake-ups of its threads."""

    seconds: float
    wakeups: int

    def __sub__(self, earlier: Work) -> Work:
        return Work(self.seconds - earlier.seconds, self.wakeups - earlier.wakeups)


def work_of(process: int) -> Work:
    """Returns the work of the threads that the process has now. /proc/PID/stat counts in steps of 10 ms only."""
    nanoseconds = wakeups = 0
    for thread in Path(f"/proc/{process}/task").iterdir():
        nanoseconds += int((thread / "schedstat").read_text().split()[0])
        status = (thread / "status").read_text()
        wakeups += int(status.rpartition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return Work(nanoseconds / 1e9, wakeups)
