"""The raw data of a benchmark: the JSON that every script writes with ``--json FILE``.

    {"benchmark": "peers", "quick": false, "started": "2026-11-28T14:00:00Z",
     "machine": {"cores": "2", "Python": "3.11.7"},
     "parameters": {"events": 60000, "rounds": 5},
     "rows": [{"measure": "relay-cpu", "title": "hookline relay", "unit": "µs", "rounds": [61.2, 60.8, 62.0]}]}

A row has one value for each round, in order. The figure that counts is their median. `measure` is the row's name
within the file; benchmarks/goals.py names the rows that have a goal. A script with one round writes one value.
Units: ``µs``, ``ms``, ``s``, ``1/s``, ``MiB``, ``bytes``, ``%``, an empty text for ratios, and for counts the word of
what is counted, such as ``events``.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import ssl
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from debian import find

VERSIONS: Final = {
    "nginx": ("-v",),
    "syslog-ng": ("--version",),
    "wrk": ("--version",),
    "valgrind": ("--version",),
}  # the argument that makes a program print its version


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measured quantity, with the value of each round."""

    measure: str
    title: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass(slots=True, kw_only=True)
class Results:
    """The rows of one benchmark, with the machine and the parameters of the run."""

    benchmark: str
    quick: bool = False
    started: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    machine: dict[str, str] = field(default_factory=lambda: machine_facts())  # noqa: PLW0108 -- defined below
    parameters: dict[str, int | float | str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def add(self, measure: str, title: str, unit: str, rounds: Iterable[float]) -> None:
        """Add a row. Raises ValueError if there is no value, or if a row has this name already."""
        values = tuple(rounds)
        if not values or self.get(measure) is not None:
            raise ValueError(f"{measure}: {len(values)} rounds, or a second row of this name")
        self.rows.append(Row(measure=measure, title=title, unit=unit, rounds=values))

    def get(self, measure: str) -> Row | None:
        """The row of this name, or None."""
        return next((row for row in self.rows if row.measure == measure), None)

    def write(self, path: Path | None) -> None:
        """Write the file. Does nothing without a path, so a script can pass its option as it is."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def read_results(path: Path) -> Results:
    """Read a file that `Results.write` wrote. Raises msgspec.ValidationError for other content."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def slug(text: str) -> str:
    """The name of a row for a text: lower case, with hyphens."""
    return re.sub(r"[^a-z0-9µ]+", "-", text.lower()).strip("-")


def machine_facts() -> dict[str, str]:
    """The parts of this machine that decide about figures, without its name."""
    facts = {
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": _first_value("/proc/cpuinfo", "model name"),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "file system": _file_system(tempfile.gettempdir()),
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
    }
    return facts | {name: version for name in VERSIONS if (version := _version(name))}


def _first_value(path: str, key: str) -> str:
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), platform.machine())


def _file_system(directory: str) -> str:
    """The kind of the file system on which the benchmarks write."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    above = [(place, kind) for _, place, kind, *_ in mounts if Path(directory).resolve().is_relative_to(place)]
    return max(above, key=lambda one: len(one[0]))[1]


def _version(program: str) -> str:
    """The version that a program prints, or an empty text if it is missing."""
    if (path := find(program)) is None:
        return ""
    run = subprocess.run((path, *VERSIONS[program]), capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\d.]*", run.stdout + run.stderr)
    return found[0].rstrip(".") if found else ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(f"{name}: {fact}" for name, fact in machine_facts().items()) + "\n")
