"""Every registered store beside a model, in random steps of a relay and of operators: one machine for all ports."""

from __future__ import annotations

import inspect
import os
import random
import sys
from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from contract.machine import comparison, operator_rules, relay_rules, spool_machine
from contract.machine.planted_faults import PLANTED
from contract.machine.spool_machine import SpoolMachine
from contract.memory_store import SPOOLS, MemoryStore
from hookline.relay.spool import admin
from hookline.relay.spool import spool as ports
from hookline.relay.spool.factory import SpoolStore

EXAMPLES = {"embedded": 40}
EXAMPLES_ELSEWHERE = 150
SOAK_EXAMPLES = 3000
MOST_EXAMPLES_FOR_A_FAULT = 400
FIXED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


def run(machine: Callable[[], SpoolMachine], chosen: settings) -> None:
    """Run the machine. Hypothesis accepts any callable that returns one."""
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[arg-type]


def test_the_store_does_what_the_model_does(kind: str, new_store: Callable[[], SpoolStore]) -> None:
    """The same steps in every run: each result, count, status, trace and dead letter is that of the model."""
    examples = EXAMPLES.get(kind, EXAMPLES_ELSEWHERE)
    run(lambda: SpoolMachine(new_store()), settings(FIXED, max_examples=examples))


@pytest.mark.soak
def test_the_store_does_what_the_model_does_in_new_steps(
    kind: str, new_store: Callable[[], SpoolStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New steps in every run. The output gives the seed, and SPOOL_MACHINE_SEED repeats it."""
    number = int(os.environ.get("SPOOL_MACHINE_SEED") or random.randrange(2**32))
    sys.stdout.write(f"\n{kind}: SPOOL_MACHINE_SEED={number} repeats these {SOAK_EXAMPLES} examples\n")

    def machine() -> SpoolMachine:
        return SpoolMachine(new_store())

    run(
        seed(number)(machine),
        settings(FIXED, derandomize=False, max_examples=SOAK_EXAMPLES, stateful_step_count=60),
    )


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    """The machine fails for a store with one fault, so that it can find such a fault in another store."""
    runs = count()

    def machine() -> SpoolMachine:
        store = MemoryStore(f"memory://{name}/{next(runs)}")
        SPOOLS.pop(store.name, None)
        PLANTED[name](store)
        return SpoolMachine(store)

    quick = settings(
        FIXED, max_examples=MOST_EXAMPLES_FOR_A_FAULT, phases=[Phase.generate], report_multiple_bugs=False
    )
    with pytest.raises(AssertionError):
        run(machine, quick)


PORTS = (
    ports.Spool, ports.StatusPublisher, admin.DeadLetterStore, admin.DeadLetterImport, admin.WebhookControl,
    admin.TraceSearch, admin.SpoolStatistics, admin.DryRunSpool,
)  # fmt: skip


@pytest.mark.parametrize("port", PORTS)
def test_the_machine_calls_each_method(port: type) -> None:
    """A new method of a port needs a rule."""
    text = "".join(inspect.getsource(one) for one in (comparison, relay_rules, operator_rules, spool_machine))
    methods = [name for name, _ in inspect.getmembers(port, inspect.isfunction) if not name.startswith("_")]
    assert [] == [name for name in methods if f".{name}(" not in text and f".{name} " not in text]
