"""Runs one seed with a spool in PostgreSQL. The scenario is that of the seed, but the run does not repeat exactly:
tokens of processes come from the operating system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Final
from unittest.mock import patch

from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.postgres import slot_leases
from simulation.database.database import SimulatedDatabase, database
from simulation.database.simulated_store import SimulatedStore
from simulation.parts import MakeSpool
from simulation.scenario import Scenario
from simulation.simulation import SeedResult, run_seed
from simulation.storage import SimulatedStorage
from simulation.world import World

SLOTS: Final = (1, 2, 8, 64)
_numbers = count(1)


def run_shared_seed(seed: int, *, keep_trace: bool = False) -> SeedResult:
    """Run one seed from start to end, on a spool in PostgreSQL."""
    with shared_spools(seed) as make_spool:
        return run_seed(seed, keep_trace=keep_trace, make_spool=make_spool)


@contextmanager
def shared_spools(seed: int) -> Iterator[MakeSpool]:
    """Returns the function that creates the spool. It is removed at the end of the block."""
    created: list[SimulatedDatabase] = []
    slots = Random(f"slots of {seed}").choice(SLOTS)

    def make_spool(world: World, scenario: Scenario, directory: Path) -> tuple[SimulatedStorage, SpoolStore]:
        name = f"s{next(_numbers)}"
        simulated = SimulatedDatabase(world, f"hookline_spool_{name}")
        created.append(simulated)
        store = SimulatedStore(f"{database()}?spool={name}", simulated)
        with simulated.by_operator():
            store.create(slots=slots)
        clock.side_effect = world.even
        return simulated, store

    with patch.object(slot_leases, "boot_clock") as clock:
        try:
            yield make_spool
        finally:
            for one in created:
                one.drop()
