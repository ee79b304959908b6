"""Where the processor time of an event goes, by thread; and SQL in the thread of the event loop, for comparison.

    python benchmarks/threads.py [--events 60000] [--rounds 5] [--json FILE] [-- RELAY OPTION …]

The relay as it is runs the SQL of its spool in a thread. `observed_relay.py` can also run it in the thread of the
event loop, with a helper thread for syncs and checkpoints; that way exists for this comparison only. Both deliver the
same events to one nginx, in turns. In further runs one commit takes a second, as on a disk that stalls. Their figure
is the longest time for which the event loop did nothing else, so that no lane sent anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench_lab import machine, table
from conditions import CONDITIONS, Bench
from contestants import Course, Result, relay
from debian import ensure_programs
from observed_relay import OBSERVED_FILE
from results import Results

TITLES: Final = {"thread": "SQL in its thread", "loop": "SQL on the loop's thread"}
THREADS: Final = {
    "start": "its start",
    "loop": "event loop: HTTP and lanes",
    "spool": "spool: SQL",
    "helper": "helper: syncs and checkpoints",
    "reader": "reader: lines and routes",
}
STALL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """One round of one way. `threads` has the seconds of processor time by name, `pause` those of the run with the
    stall."""

    result: Result
    threads: dict[str, float]
    pause: float


def deliver(
    course: Course, way: str, stall_seconds: float, options: Sequence[str]
) -> tuple[Result, dict[str, float]]:
    program = (sys.executable, str(Path(__file__).with_name("observed_relay.py")), way, str(stall_seconds))
    result = relay(course, *options, program=program)
    return result, json.loads((course.directory / OBSERVED_FILE).read_text())


def measure(bench: Bench, rounds: int, options: Sequence[str]) -> dict[str, list[Run]]:
    """Measure both ways in turns, so that other load on the machine affects them equally."""
    runs: dict[str, list[Run]] = {way: [] for way in TITLES}
    for number in range(rounds):
        for way in list(TITLES)[:: 1 if number % 2 == 0 else -1]:
            with bench.course(CONDITIONS[0]) as course:
                result, threads = deliver(course, way, 0.0, options)
            with bench.course(CONDITIONS[0]) as course:
                pause = deliver(course, way, STALL_SECONDS, options)[1]["pause"]
            runs[way].append(Run(result, threads, pause))
            print(
                f"round {number + 1} of {rounds}: {TITLES[way]}: {result.rate:,.0f} events/s, "
                f"{result.microseconds:.1f} µs, a pause of {pause * 1e3:,.0f} ms",
                flush=True,
            )
    return runs


def fill(results: Results, runs: dict[str, list[Run]], events: int) -> None:
    for way, of_way in runs.items():
        title = TITLES[way]
        results.add(f"{way}-rate", f"{title}: events", "1/s", (one.result.rate for one in of_way))
        results.add(f"{way}-cpu", f"{title}: CPU for an event", "µs", (one.result.microseconds for one in of_way))
        for thread, task in THREADS.items():
            if all(thread in one.threads for one in of_way):
                times = (one.threads[thread] / events * 1e6 for one in of_way)
                results.add(f"{way}-{thread}", f"{title}: {task}", "µs", times)
        pauses = (one.pause * 1e3 for one in of_way)
        results.add(f"{way}-pause", f"{title}: longest pause while a commit takes 1,000 ms", "ms", pauses)
    pairs = list(zip(runs["loop"], runs["thread"], strict=True))
    cpus = (loop.result.microseconds / thread.result.microseconds for loop, thread in pairs)
    results.add("cpu-ratio", "CPU for an event, on the loop ÷ in its thread", "", cpus)
    rates = (loop.result.rate / thread.result.rate for loop, thread in pairs)
    results.add("rate-ratio", "rate, on the loop ÷ in its thread", "", rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    given = parser.parse_args()
    if not ensure_programs(("nginx",)):
        print("No nginx, no sink: nothing to measure.")
        return
    results = Results(benchmark="threads", parameters={"events": given.events, "rounds": given.rounds})
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        bench = Bench(Path(name), given.events, 0, given.concurrency, ())
        fill(results, measure(bench, given.rounds, given.relay), given.events)
    print(f"{given.events} events, concurrency {given.concurrency}, medians; {machine()}")
    print(table(("", "median"), [(row.title, f"{row.value:,.2f} {row.unit}") for row in results.rows]))
    results.write(given.json)


if __name__ == "__main__":
    main()
