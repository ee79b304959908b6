"""The simulation in the test run: fixed seeds, new seeds, the same trace in every process, and planted faults."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.__main__ import run_many, totals
from simulation.planted_faults import PLANTED_FAULTS
from simulation.search_seeds import recorded_seeds, search
from simulation.simulation import run_seed

FIXED_SEEDS = 30
NEW_SEEDS = 20
CHUNK = 10
TESTS = Path(__file__).parents[1]
# Seeds whose traces two processes compare: logs, files and pipes, with crashes, operators and applies.
COMPARED_SEEDS = (1, 5, 9, 22, 52, 84)
SOAK_SEEDS = 10_000


def require_green(seeds: range) -> None:
    """Run these seeds, and fail with the command that replays the first one that violates an invariant."""
    for seed in seeds:
        violation = run_seed(seed).violation
        assert violation is None, f"{violation}\nreplay it with: make simulate SEED={seed}"


@pytest.mark.parametrize("first", range(0, FIXED_SEEDS, CHUNK))
def test_fixed_seeds(first: int) -> None:
    """Every invariant holds for the same seeds in every run of the tests."""
    require_green(range(first, first + CHUNK))


@pytest.mark.parametrize("chunk", range(NEW_SEEDS // CHUNK))
def test_new_seeds(chunk: int) -> None:
    """Every invariant holds for seeds that were never tried before. A failure names its seed."""
    first = secrets.randbits(48)
    require_green(range(first, first + CHUNK))


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    """Two processes with different hash seeds, and so with different orders of sets, have the same traces."""
    assert _digests(hash_seed="1") == _digests(hash_seed="2")


def _digests(*, hash_seed: str) -> list[str]:
    script = f"from simulation.simulation import run_seed\nfor n in {COMPARED_SEEDS}: print(run_seed(n).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    digests = run.stdout.split()
    assert len(COMPARED_SEEDS) == len(set(digests))
    return digests


@pytest.mark.parametrize("name", PLANTED_FAULTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    """A recorded seed violates an invariant when the fault is planted, and none without it."""
    for seed in recorded_seeds().get(name, ()):
        with PLANTED_FAULTS[name].plant():
            caught = run_seed(seed).violation is not None
        if caught:
            assert run_seed(seed).violation is None
            return
    pytest.fail(f"no recorded seed catches it; find others with: python -m simulation.search_seeds {name!r}")


def test_the_trace_is_readable() -> None:
    """A replay shows virtual time, requests and responses, in the order of the run."""
    trace = run_seed(9, keep_trace=True).trace
    assert trace is not None
    times = [float(line[:12]) for line in trace]
    assert sorted(times) == times
    assert any(" POST request-" in line for line in trace)
    assert any(line.endswith("the relay starts") for line in trace)


@pytest.mark.soak
def test_many_seeds() -> None:
    """No invariant is violated in thousands of new seeds, which `make soak` counts."""
    first = secrets.randbits(48)
    results = list(run_many(range(first, first + SOAK_SEEDS), processes=2))
    print(f"\nfrom seed {first}: {totals(results)}")
    assert [] == [f"{one.seed}: {one.violation}" for one in results if one.violation is not None]


@pytest.mark.soak
@pytest.mark.parametrize("name", PLANTED_FAULTS)
def test_new_seeds_catch_a_planted_fault(name: str) -> None:
    """A search among new seeds finds one that catches the fault, and prints how many seeds it took."""
    first = secrets.randbits(48)
    found = search(name, first, wanted=1)
    assert found, f"no seed from {first} on catches it"
    print(f"\n{name}: {found[0][0] - first + 1} seeds")


def test_every_invariant_is_documented() -> None:
    """The guarantees list the names of all invariants, and no others."""
    used = {
        name
        for path in Path(__file__).parent.rglob("*.py")
        for name in re.findall(r'\bviolate\(\s*"([^"]+)"', path.read_text("utf-8"))
    } | {"Retry-After", "nothing after 410"}  # chosen by a condition
    page = (TESTS.parent / "docs/reference/guarantees.md").read_text("utf-8")
    table = page.partition("## Invariants of the simulation")[2].partition("\n\n- ")[0]
    documented = set(re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)) - {"name"}
    assert documented == used
