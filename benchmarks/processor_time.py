"""The processor time and the wake-ups of a running process, from the kernel's files."""

from __future__ import annotations

import os
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


def seconds_of_family(parent: int) -> float:
    """The seconds of processor time of a process and its children: those that live, and those that it has waited for.

    /proc/PID/stat counts in steps of 10 ms.
    """
    ticks = sum(map(int, _stat(parent)[11:15]))  # utime, stime, cutime, cstime: proc_pid_stat(5)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(int(entry.name))
        except OSError:  # it has ended since
            continue
        if int(fields[1]) == parent:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def parent_of(process: int) -> int:
    return int(_stat(process)[1])


def _stat(process: int) -> list[str]:
    """The fields after the name, which can contain blanks."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
