"""The simulation's scenarios with the spool in PostgreSQL: the same events, endpoints, faults and invariants."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from hookline.relay.spool.postgres.relay_ports import source_positions
from postgres_server import shared_server
from simulation.__main__ import run_many, totals
from simulation.choices import choose
from simulation.database.shared_seed import run_shared_seed, shared_spools
from simulation.parts import build_parts
from simulation.process import RelayProcess
from simulation.relay_life import RelayLife
from simulation.scenario import Input
from simulation.simulation import CALLBACK_SECONDS
from simulation.world import World

# Scenarios that take little time, with kills, lost commits, a server that is away, other processes, and applies.
FIXED_SEEDS = (4, 13)
NEW_SEEDS = 1
SOAK_SEEDS = 1000


def require_green(seeds: Iterable[int]) -> None:
    for seed in seeds:
        violation = run_shared_seed(seed).violation
        assert violation is None, f"{violation}\nrun it again with: make simulate SHARED=1 SEED={seed}"


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_fixed_scenarios(seed: int) -> None:
    """Every invariant holds in the same scenarios in every run of the tests."""
    require_green([seed])


def test_new_scenarios() -> None:
    """Every invariant holds in scenarios that were never tried before."""
    first = secrets.randbits(48)
    require_green(range(first, first + NEW_SEEDS))


def test_a_lost_position_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not keep positions reads lines twice after a crash, or misses some after a rotation."""
    monkeypatch.setattr(source_positions, "position_steps", lambda *_: [])
    violation = run_shared_seed(4).violation
    assert violation is not None
    assert violation.name in {"exactly-once ingest", "nothing is lost"}


def test_a_process_that_has_joined_waits_for_the_state(tmp_path: Path) -> None:
    """The database can fail between the join and the first read of the state. The process does not end."""
    world = World(1)
    with shared_spools(1) as make_spool:
        scenario = replace(choose(world.random), input=Input.LOG)
        parts = build_parts(world, scenario, tmp_path, make_spool)
        life = RelayLife(parts)
        parts.state.unreadable = True
        life.start()
        process = life.process
        assert process is not None
        run_until(process, world, 3.0)
        assert not process.main.done()
        assert process.dispatcher is not None
        assert not process.dispatcher.lanes
        parts.state.unreadable = False
        run_until(process, world, 6.0)
        assert process.dispatcher.lanes.keys() == parts.scenario.documents.keys()
        life.close()


def run_until(process: RelayProcess, world: World, end: float) -> None:
    """Run a process alone until a time."""
    while world.now < end:
        process.loop.make_timers_ready()
        if process.loop.has_ready:
            world.now += CALLBACK_SECONDS
            process.loop.run_one()
        else:
            world.now = max(world.now, min(process.loop.next_at, end))


@pytest.mark.soak
def test_many_scenarios() -> None:
    """No invariant is violated in many new scenarios."""
    first = secrets.randbits(48)
    seeds = range(first, first + SOAK_SEEDS)
    shared_server()  # for all processes, which have a database each
    results = list(run_many(seeds, processes=2, run=run_shared_seed))
    sys.stderr.write(f"\nfrom seed {first}: {totals(results)}\n")
    assert [] == [f"{one.seed}: {one.violation}" for one in results if one.violation is not None]
