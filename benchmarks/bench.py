"""Runs the benchmarks one after the other, keeps their raw data, and compares it with the goals.

    python benchmarks/bench.py [NAME …] [--quick] [--output DIRECTORY]

Without names, all of them, in this order. `--quick` runs each with few events and one round: it shows in a few
minutes that everything works, and its figures are worth nothing. A benchmark that fails does not stop the others; the
exit code is then 1. `make performance` writes docs/performance.md from the raw data.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench_lab import table
from goals import findings
from page_text import number
from plain_data import load, measured_in

HERE: Final = Path(__file__).parent
OUTPUT: Final = HERE.parent / "build" / "bench"
# Each benchmark with the options that make it quick.
SCRIPTS: Final[dict[str, Sequence[str]]] = {
    "peers": ("--events", "2000", "--backlog", "2000", "--rounds", "1"),
    "threads": ("--events", "30000", "--rounds", "1"),
    "engine": ("--posts", "2000", "--rounds", "1"),
    "memory": ("--events", "1000", "--times", "4"),
    "follow": ("--seconds", "2", "--runs", "1"),
    "idle": ("--webhooks", "5", "--seconds", "3", "--runs", "1"),
    "kills": ("--events", "6000", "--kills", "3"),
    "backlog": ("--deliveries", "5000", "--dead", "20", "--seconds", "4"),
    "reconcile": ("200",),
    "page": ("200", "--dead", "100"),
    "many_files": ("--files", "200", "--seconds", "2"),
    "spool": ("--events", "2000", "--waiting", "200"),
    "machines": ("--events", "1000", "--seconds", "2", "--rounds", "1"),
    "stages": ("--events", "1000"),
    "isolation": ("--webhooks", "6", "--events", "20", "--seconds", "3", "--runs", "1"),
    "instructions": ("--events", "200", "--runs", "1"),
    "simulated": ("--seeds", "40", "--faults", "3"),
}


def run(name: str, output: Path, *, quick: bool) -> bool:
    """Run one benchmark. Returns whether it succeeded. Its raw data is in `output`, if it writes any."""
    script = HERE / f"{name}.py"
    if not script.exists():
        print(f"There is no {script.name}.")
        return False
    raw = output / f"{name}.json"
    raw.unlink(missing_ok=True)
    options = list(SCRIPTS[name]) if quick else []
    if '"--json"' in script.read_text():
        options += ["--json", str(raw)]
    code = subprocess.run((sys.executable, str(script), *options), check=False).returncode
    if raw.exists():
        results = load(raw, name)
        results.quick = quick
        results.write(raw)
    return code == 0


def report(output: Path) -> None:
    """The goals with the figures of the run."""
    lines = []
    for one in findings(measured_in(output)):
        limit = f"{one.goal.sign} {one.goal.limit:g}"
        lines.append((one.goal.title, limit, number(one.row) if one.row else "", one.verdict.strip("*")))
    print(table(("goal", "", "median", ""), lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCRIPTS))
    parser.add_argument("--quick", action="store_true", help="few events and one round")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the directory of the raw data")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in SCRIPTS]:
        parser.error(f"unknown benchmark: {', '.join(unknown)}")
    given.output.mkdir(parents=True, exist_ok=True)
    if not given.names:
        for old in given.output.glob("*.json"):  # of an earlier run: a page must not mix two
            old.unlink()
    failed, names, started = [], given.names or list(SCRIPTS), time.monotonic()
    for at, name in enumerate(names):
        minutes = (time.monotonic() - started) / 60
        print(f"\n== {name} ({at + 1} of {len(names)}, after {minutes:.0f} minutes)", flush=True)
        if not run(name, given.output, quick=given.quick):
            failed.append(name)
    print("\n== goals" + (", of a quick run: its figures are worth nothing" if given.quick else ""))
    report(given.output)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
