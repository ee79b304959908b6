"""The relay's memory and disk for a short and a long input: the largest resident set, and the size of the spool.

    python benchmarks/memory.py [--events 100000] [--times 10] [--rounds 1] [--json FILE] [-- RELAY OPTION …]

The second input is `--times` as long as the first. Memory that grows with the input, or with the records of delivered
events, shows in the ratio. The size of the spool is that of all of its files after the run, without the disk space
that it only reserves.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench_lab import machine, table
from conditions import CONDITIONS, Bench
from contestants import Result
from debian import ensure_programs
from results import Results


def measure(events: list[int], rounds: int, options: list[str]) -> dict[int, list[Result]]:
    """The runs by their number of events, in turns."""
    found: dict[int, list[Result]] = {number: [] for number in events}
    for turn in range(rounds):
        for number, runs in found.items():
            with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
                result = Bench(Path(name), number, 0, 16, options).run(CONDITIONS[0])
            runs.append(result)
            print(
                f"round {turn + 1} of {rounds}: {number:,} events: {result.mebibytes:.0f} MiB, "
                f"{result.spool_bytes_per_event:.0f} bytes in the spool each, {result.rate:,.0f} events/s",
                flush=True,
            )
    return found


def fill(results: Results, found: dict[int, list[Result]]) -> None:
    (few, short), (many, long) = found.items()
    for name, number, runs in (("few", few, short), ("many", many, long)):
        results.add(f"memory-{name}", f"memory, {number:,} events", "MiB", (one.mebibytes for one in runs))
        results.add(f"rate-{name}", f"rate, {number:,} events", "1/s", (one.rate for one in runs))
        spool = (one.spool_bytes_per_event for one in runs)
        results.add(f"spool-{name}", f"spool for a delivered event, {number:,} events", "bytes", spool)
    pairs = zip(long, short, strict=True)
    ratios = (one.mebibytes / other.mebibytes for one, other in pairs)
    results.add("memory-ratio", f"memory, {many:,} events ÷ {few:,}", "", ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    given = parser.parse_args()
    if "nginx" not in ensure_programs(("nginx",)):
        print("No nginx, no sink: nothing to measure.")
        return
    results = Results(benchmark="memory", parameters={"events": given.events, "rounds": given.rounds})
    fill(results, measure([given.events, given.events * given.times], given.rounds, given.relay))
    print(f"Concurrency 16; {machine()}")
    print(table(("", "median"), ((row.title, f"{row.value:,.2f} {row.unit}") for row in results.rows)))
    results.write(given.json)


if __name__ == "__main__":
    main()
