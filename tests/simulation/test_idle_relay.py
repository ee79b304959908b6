"""The wake-ups of a relay that has nothing to do, counted by virtual time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from hookline.model import Address
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.sources import timing
from hookline.relay.spool.sqlite.embedded import EmbeddedStore
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from simulation import process
from simulation.event_loop import SimulatedLoop
from simulation.process import ProcessSettings, RelayProcess
from simulation.scenario import document
from simulation.state import SimulatedState
from simulation.world import World

WEBHOOKS: Final = 50
SECONDS: Final = 60.0


class CountingLoop(SimulatedLoop):
    """Counts the calls in simulated threads by name."""

    def __init__(self, world: World) -> None:
        super().__init__(world, shuffle=0.0, job_seconds=lambda: 0.0001)
        self.jobs: Counter[str] = Counter()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        self.jobs[_name(func)] += 1
        return super().run_in_executor(executor, func, *args)


def _name(function: Any) -> str:
    while (inner := getattr(function, "func", None)) is not None and inner is not function:
        arguments = function.args
        function = arguments[0] if inner is not None and arguments and callable(arguments[0]) else inner
    return str(getattr(function, "__name__", function))


def run_until(world: World, loop: SimulatedLoop, end: float) -> int:
    """Run the loop until a time. Returns how often it slept."""
    sleeps = 0
    while world.now < end:
        loop.make_timers_ready()
        if loop.has_ready:
            world.now += 2e-6
            loop.run_one()
        else:
            sleeps += 1
            world.now = max(world.now, min(loop.next_at, end))
    return sleeps


@pytest.mark.parametrize("has_inotify", [True, False])
def test_idle_relay_wakes_once_a_second(tmp_path: Path, has_inotify: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fifty webhooks, each part of a relay at rest has at most one call a second; all parts have four."""
    monkeypatch.setattr(process, "READ_SECONDS", timing.Timing().wait_seconds)
    seed = next(seed for seed in range(100) if (World(seed).random.getrandbits(64) % 2 == 0) is has_inotify)
    world = World(seed)
    addresses = [Address("idle@Org", f"box-{number}") for number in range(WEBHOOKS)]
    documents = {address: document(world.random, address, 0) for address in addresses}
    (log := tmp_path / "app.log").touch()
    (tmp_path / "spool").mkdir(mode=0o700)
    loop = CountingLoop(world)
    world.random.seed(seed)
    relay = RelayProcess(
        world,
        loop,
        store=EmbeddedStore(tmp_path / "spool", StorageAccess()),
        state=SimulatedState(documents),
        command=ProcessSettings(sources=[str(log)], follow=True, settings=RelaySettings(defaults=Defaults())),
        make_transport=lambda webhook, process: pytest.fail("no request is expected"),
    )
    try:
        run_until(world, loop, 30.0)
        loop.jobs.clear()
        sleeps = run_until(world, loop, 30.0 + SECONDS)
        assert relay.error is None
        assert relay.ending is None
        assert max(loop.jobs.values()) <= SECONDS + 1, loop.jobs
        assert loop.jobs.total() <= 4 * SECONDS, loop.jobs
        assert loop.jobs["publish"] <= SECONDS / 5 + 1
        # A simulated job sleeps at its start and at its end, and three parts have a timer of a second.
        assert sleeps <= 2 * loop.jobs.total() + 4 * SECONDS
    finally:
        relay.kill()
