"""Every registered store beside a model, in random steps of a relay and of operators: one machine for all ports.

Many short runs with a seed each find more than a long one, because the steps of one run are alike.
"""

from __future__ import annotations

import inspect
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from contract.machine import (
    comparison,
    crash_rules,
    ingest_rules,
    maintenance_rules,
    move_rules,
    operator_rules,
    settle_rules,
    spool_machine,
)  # fmt: skip
from contract.machine.planted_faults import PLANTED
from contract.machine.spool_machine import SpoolMachine
from contract.memory_store import SPOOLS, MemoryStore
from contract.spool_stores import LOCATIONS
from hookline.relay.spool import admin
from hookline.relay.spool import spool as ports
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.postgres.shared import SharedStore
from spool_payloads import payload_problem

SEEDS = 1
LONG_LEASE_SECONDS = 3600.0  # nobody renews the leases of the machine's relay
SOAK_SEEDS = 60
MOST_SEEDS_FOR_A_FAULT = 60
EXAMPLES_PER_SEED = 10
SETTINGS = settings(
    derandomize=True,
    database=None,
    max_examples=EXAMPLES_PER_SEED,
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
)
# Each step on a server takes many times as long.
CHOSEN = {"shared": settings(SETTINGS, max_examples=2, stateful_step_count=12)}
ONLY_FIND = settings(SETTINGS, phases=[Phase.generate], report_multiple_bugs=False)


@pytest.fixture
def new_machine(kind: str, store: SpoolStore, tmp_path: Path) -> Callable[[], SpoolMachine]:
    """A machine on a new store of this kind at each call. `store` registers the kinds."""
    names = count()

    def create() -> SpoolMachine:
        directory = tmp_path / str(next(names))
        directory.mkdir()
        created = spool_store(LOCATIONS[kind](directory))
        if isinstance(created, SharedStore):
            created.create(lease_seconds=LONG_LEASE_SECONDS)
        return SpoolMachine(created, remove=partial(check_and_remove, directory))

    return create


def check_and_remove(directory: Path) -> None:
    """Remove a store. The ports do not show a payload that an embedded spool keeps too long."""
    database = directory / "spool" / "spool.db"
    if database.exists():
        with closing(sqlite3.connect(database)) as connection:
            assert payload_problem(connection) is None
    shutil.rmtree(directory, ignore_errors=True)


def run(machine: Callable[[], SpoolMachine], seeds: Iterable[int], chosen: settings = SETTINGS) -> None:
    """Run the machine on new stores. A failure names its seed, and hypothesis prints the shortest steps to it."""
    for number in seeds:

        def seeded() -> SpoolMachine:
            return machine()

        try:
            run_state_machine_as_test(seed(number)(seeded), settings=chosen)  # type: ignore[arg-type]
        except BaseException as failed:
            failed.add_note(f"SPOOL_MACHINE_SEED={number} repeats it in `pytest -m soak {__file__}`")
            raise


def test_the_store_does_what_the_model_does(kind: str, new_machine: Callable[[], SpoolMachine]) -> None:
    """The same steps in every run: each result, count, status, trace and dead letter is that of the model."""
    run(new_machine, range(SEEDS), CHOSEN.get(kind, SETTINGS))


@pytest.mark.soak
def test_the_store_does_what_the_model_does_in_new_steps(kind: str, new_machine: Callable[[], SpoolMachine]) -> None:
    """New steps in every run. SPOOL_MACHINE_SEED repeats those of one seed."""
    given = os.environ.get("SPOOL_MACHINE_SEED")
    first, seeds = (random.randrange(2**32), SOAK_SEEDS) if given is None else (int(given), 1)
    sys.stdout.write(f"\n{kind}: {seeds} seeds from {first}\n")
    run(new_machine, range(first, first + seeds))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    """The machine fails for a store with one fault, so that it can find such a fault in another store."""

    def faulty() -> SpoolMachine:
        store = MemoryStore(f"memory://{name}")
        SPOOLS.pop(store.name, None)
        PLANTED[name](store)
        return SpoolMachine(store)

    with pytest.raises(AssertionError):
        run(faulty, range(MOST_SEEDS_FOR_A_FAULT), ONLY_FIND)


PORTS = (
    ports.Spool, ports.StatusPublisher, admin.DeadLetterStore, admin.DeadLetterImport, admin.WebhookControl,
    admin.TraceSearch, admin.SpoolStatistics, admin.DryRunSpool,
)  # fmt: skip


@pytest.mark.parametrize("port", PORTS)
def test_the_machine_calls_each_method(port: type) -> None:
    """A new method of a port needs a rule."""
    modules = (
        *(comparison, crash_rules, ingest_rules, settle_rules, maintenance_rules),
        *(move_rules, operator_rules, spool_machine),
    )
    text = "".join(inspect.getsource(one) for one in modules)
    methods = [name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")]
    assert methods
    assert [] == [name for name in methods if f".{name}(" not in text]
