"""Finds seeds that catch each planted fault: `python -m simulation.search_seeds [NAME ...]`.

It prints them and records them in recorded_seeds.json, which the tests read.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from simulation.planted_faults import PLANTED_FAULTS
from simulation.simulation import run_seed

RECORDED_SEEDS: Final = Path(__file__).with_name("recorded_seeds.json")
MAX_SEEDS: Final = 2000
WANTED: Final = 2


def recorded_seeds() -> dict[str, list[int]]:
    """The recorded seeds of each planted fault."""
    seeds: dict[str, list[int]] = json.loads(RECORDED_SEEDS.read_text("utf-8"))
    return seeds


def search(name: str, first: int = 0, wanted: int = WANTED) -> list[tuple[int, str]]:
    """Up to `wanted` seeds among MAX_SEEDS that catch the fault, each with the invariant that it violates.

    A seed that violates an invariant without the fault does not count.
    """
    found: list[tuple[int, str]] = []
    for seed in range(first, first + MAX_SEEDS):
        with PLANTED_FAULTS[name].plant():
            violation = run_seed(seed).violation
        if violation is not None and run_seed(seed).violation is None:
            found.append((seed, violation.name))
            if len(found) == wanted:
                break
    return found


def main() -> None:
    """Search and record."""
    names = sys.argv[1:] or list(PLANTED_FAULTS)
    seeds = recorded_seeds() if RECORDED_SEEDS.exists() else {}
    with ProcessPoolExecutor(2) as pool:
        for name, found in zip(names, pool.map(search, names), strict=True):
            print(f"{name}: " + (", ".join(f"{seed} ({rule})" for seed, rule in found) or "NOT CAUGHT"), flush=True)
            seeds[name] = [seed for seed, _ in found]
    ordered = {name: seeds[name] for name in PLANTED_FAULTS if name in seeds}
    RECORDED_SEEDS.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
