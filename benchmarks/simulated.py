"""Whether the relay that was measured keeps its guarantees: new seeds of the simulation, and its planted faults.

    python benchmarks/simulated.py [--seeds 10000] [--faults N] [--json FILE]

A fast relay that loses an event is worth nothing, so `make bench` counts violated invariants beside its rates. Every
planted fault is run with its recorded seeds. `--faults` runs only the first N of them.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from results import Results
from simulation.__main__ import run_many, totals
from simulation.planted_faults import PLANTED_FAULTS
from simulation.search_seeds import recorded_seeds
from simulation.simulation import SeedResult, run_seed

PROGRESS_SEEDS: Final = 500


def violations(seeds: range) -> list[SeedResult]:
    """Run these seeds on all cores. Returns those that violate an invariant."""
    results = []
    for result in run_many(seeds, processes=len(os.sched_getaffinity(0))):
        results.append(result)
        if result.violation is not None:
            print(f"seed {result.seed}: {result.violation}", flush=True)
        if len(results) % PROGRESS_SEEDS == 0:
            print(f"{len(results):,} of {len(seeds):,} seeds", flush=True)
    print(totals(results))
    return [one for one in results if one.violation is not None]


def is_caught(name: str) -> bool:
    """Whether a recorded seed violates an invariant when this fault is planted."""
    for seed in recorded_seeds().get(name, ()):
        with PLANTED_FAULTS[name].plant():
            if run_seed(seed).violation is not None:
                return True
    print(f"not caught: {name}", flush=True)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--faults", type=int, default=len(PLANTED_FAULTS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    given = parser.parse_args()
    first = secrets.randbits(48)
    results = Results(benchmark="simulated", parameters={"seeds": given.seeds, "first seed": str(first)})
    violated = violations(range(first, first + given.seeds))
    names = list(PLANTED_FAULTS)[: given.faults]
    caught = sum(map(is_caught, names))
    print(f"violated: {len(violated)} of {given.seeds:,} seeds; {caught} of {len(names)} planted faults caught")
    results.add("seeds", "simulated", "seeds", [given.seeds])
    results.add("violations", "violating an invariant", "seeds", [len(violated)])
    results.add("faults-caught", "planted and caught", "faults", [caught])
    results.add("faults-missed", "planted and not caught", "faults", [len(names) - caught])
    results.write(given.json)


if __name__ == "__main__":
    main()
