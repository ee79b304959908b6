"""Runs seeds and reports violations: `make simulate SEEDS=N`. SEED=n replays one seed and prints its trace. With
SHARED=1 the spool is in PostgreSQL; a seed then has the same scenario again, but not exactly the same run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from postgres_server import shared_server
from simulation.database.shared_seed import run_shared_seed
from simulation.simulation import SeedResult, run_seed

CHUNK_SEEDS = 20
MAX_REPORTED = 20


def run_many(
    seeds: Iterable[int], processes: int, run: Callable[[int], SeedResult] = run_seed
) -> Iterator[SeedResult]:
    """Yield the result of each seed. With several processes, the results keep their order."""
    if processes == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(run, seeds, chunksize=CHUNK_SEEDS)


def main() -> int:
    """Run the command. Returns the exit code: 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="the number of seeds")
    parser.add_argument("--first", type=int, default=None, help="the first seed; default: a new one each time")
    parser.add_argument("--seed", type=int, default=None, help="replay this seed and print its trace")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--shared", action="store_true", help="with the spool in PostgreSQL")
    options = parser.parse_args()
    if options.seed is not None:
        return _replay(options.seed, shared=options.shared)
    first = int(time.time()) if options.first is None else options.first
    print(f"seeds {first} to {first + options.seeds - 1}")
    run = run_shared_seed if options.shared else run_seed
    if options.shared:
        shared_server()  # for all processes, which have a database each
    return _search(range(first, first + options.seeds), options.processes, run)


def _replay(seed: int, *, shared: bool) -> int:
    result = (run_shared_seed if shared else run_seed)(seed, keep_trace=True)
    print("\n".join(result.trace or ()))
    print(f"seed {seed}: {_summary(result)}; digest {result.digest}")
    return 1 if result.violation else 0


def _search(seeds: range, processes: int, run: Callable[[int], SeedResult]) -> int:
    started = time.monotonic()
    results: list[SeedResult] = []
    for result in run_many(seeds, processes, run):
        results.append(result)
        if result.violation is not None:
            print(f"seed {result.seed}: {result.violation}", flush=True)
        if sys.stderr.isatty():
            print(f"\r{len(results)} of {len(seeds)} seeds", end="", file=sys.stderr)
    violated = sum(result.violation is not None for result in results)
    print(f"{violated} violations; {totals(results)} in {time.monotonic() - started:.0f} s")
    return 1 if violated else 0


def totals(results: Sequence[SeedResult]) -> str:
    """The totals of many seeds, for people."""
    return (
        f"{len(results):,} seeds, {sum(one.accepted for one in results):,} events accepted, "
        f"{sum(one.crashes for one in results):,} crashes, {sum(one.steps for one in results):,} steps, "
        f"{sum(one.seconds for one in results) / 3600:,.0f} hours of virtual time, "
        f"{sum(one.cpu_seconds for one in results):.0f} s of CPU"
    )


def _summary(result: SeedResult) -> str:
    found = f"violation of {result.violation}" if result.violation else "no violation"
    return (
        f"{found}; {result.accepted} events accepted, {result.crashes} crashes, {result.seconds:.0f} s, "
        f"{result.steps:,} steps"
    )


if __name__ == "__main__":
    sys.exit(main())
