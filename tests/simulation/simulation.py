"""Runs one seed: builds its world, advances it step by step, and checks the relay until the spool is drained.

A step is one of three things: a callback of the relay, a happening outside it, or a jump of the virtual time to the
next of both. Every choice comes from the seed, so a seed always gives the same run.

Read the package in this order: `world` (time, chance and the trace), `scenario` (the choices of a seed), `parts`
(everything around the relay), `relay_life` and `process` (the relay itself), `event_loop`, `disk`, `endpoints` and
`inputs` (its machine), `happenings` (faults, operators and applies), and `checks` (the guarantees).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from hookline.model import Ordering
from hookline.relay.relay import Ending
from hookline.relay.spool.spool_values import State
from simulation.checks.final_check import FinalCheck
from simulation.choices import choose
from simulation.events import SimulatedEvent
from simulation.happenings.applies import Applies
from simulation.happenings.faults import Faults
from simulation.happenings.operators import Operators
from simulation.memory_limits import memory_limits
from simulation.parts import MakeSpool, SimulationParts, build_parts, embedded_spool
from simulation.process import RelayProcess
from simulation.relay_life import DRAIN_SECONDS, RelayLife
from simulation.scenario import Input, Scenario
from simulation.storage import StorageFaults
from simulation.world import MAX_STEPS, Violation, World

# Time passes during a callback, as in a real process. Without it, a wait that is shorter than the precision of the
# clock never ends.
CALLBACK_SECONDS: Final = 2e-6
# The share of the steps in which a happening that is due runs before the callbacks that are ready.
HAPPENING_FIRST_SHARE: Final = 0.3
# After the faults, the happenings that they planned end within this time.
SETTLE_SECONDS: Final = 10.0
# A relay that follows a log needs this time after its start to notice that the log has more lines.
NOTICE_SECONDS: Final = 5.0
# On a shared spool it reads once the lease of the process before it is over.
TAKEOVER_SECONDS: Final = 12.0
MEMORY_DIRECTORY: Final = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """The result of one seed.

    Attributes:
        seed: The seed.
        violation: The first violation; None if every invariant held.
        digest: A hash of the trace. Equal digests mean equal runs.
        steps: The number of steps.
        seconds: The virtual time that has passed.
        cpu_seconds: The CPU time of this process.
        accepted: The number of 2xx responses to events.
        crashes: The number of kills and power cuts.
        trace: The lines of the trace, if it was kept.
    """

    seed: int
    violation: Violation | None
    digest: str
    steps: int
    seconds: float
    cpu_seconds: float
    accepted: int
    crashes: int
    trace: list[str] | None


def run_seed(
    seed: int,
    *,
    keep_trace: bool = False,
    make_spool: MakeSpool = embedded_spool,
    make_scenario: Callable[[Random], Scenario] = choose,
) -> SeedResult:
    """Run one seed from start to end."""
    started = time.process_time()
    world = World(seed, keep_trace=keep_trace)
    base = MEMORY_DIRECTORY if MEMORY_DIRECTORY.is_dir() else None
    with memory_limits(seed), tempfile.TemporaryDirectory(prefix="hookline-simulation-", dir=base) as directory:
        parts = build_parts(world, make_scenario(world.random), Path(directory), make_spool)
        simulation = Simulation(parts)
        try:
            simulation.run()
        finally:
            simulation.close()
    return SeedResult(
        seed=seed,
        violation=world.violation,
        digest=world.digest,
        steps=world.steps,
        seconds=world.now,
        cpu_seconds=time.process_time() - started,
        accepted=sum(event.accepted for event in parts.events.values()),
        crashes=simulation.crashes,
        trace=world.lines,
    )


class Simulation:
    """One run: the plan of its happenings, the steps, and its end."""

    def __init__(self, parts: SimulationParts) -> None:
        self._parts = parts
        self._world = parts.world
        self._relay = RelayLife(parts)
        self._faults = Faults(parts, self._relay)
        self._operators = Operators(parts, self._relay)
        self._applies = Applies(parts)
        self._is_draining = False
        self._drain_until = float("inf")
        self._notice_seconds = NOTICE_SECONDS + (TAKEOVER_SECONDS if parts.store.shared else 0.0)
        self._is_finished = False

    @property
    def crashes(self) -> int:
        """The number of kills and power cuts so far."""
        return self._relay.crashes

    def run(self) -> None:
        """Advance the world to its end, or to the first violation."""
        self._parts.writer.begin()
        self._plan_happenings()
        self._relay.start()
        while not self._is_finished and self._world.violation is None:
            self._advance()

    def close(self) -> None:
        """Close the files of the simulation."""
        self._relay.close()

    def _plan_happenings(self) -> None:
        """Schedule the happenings of the scenario at random moments."""
        world, scenario = self._world, self._parts.scenario
        happenings = scenario.happenings
        planned: tuple[tuple[int, Callable[[], None]], ...] = (
            (happenings.kills, self._faults.kill),
            (happenings.power_cuts, self._faults.cut_power),
            (happenings.stops, self._relay.stop),
            (happenings.operators, self._operators.operate),
            (happenings.applies, self._applies.apply),
            (happenings.clock_steps, self._faults.set_clock),
            (happenings.disk_faults, self._faults.fail_disk),
            (happenings.state_faults, self._faults.fail_state),
            (happenings.second_relays, self._faults.start_second),
            (happenings.rotations if scenario.input is Input.LOG else 0, self._parts.writer.rotate),
            (happenings.suspensions, self._faults.suspend),
            (1 if happenings.off_seconds else 0, self._faults.stop_for_long),
        )
        for count, happening in planned:
            for _ in range(count):
                world.after(world.random.uniform(0.0, scenario.active_seconds), happening)
        if scenario.slow_disk_seconds is not None:
            self._parts.storage.fail(StorageFaults(seconds=scenario.slow_disk_seconds))
        world.after(1.0, self._check_each_second)
        world.after(scenario.active_seconds, self._end_faults)

    def _check_each_second(self) -> None:
        if self._relay.process is not None:
            self._parts.invariants.check_each_second(self._relay.process)
        self._world.after(1.0, self._check_each_second)

    # -- steps

    def _advance(self) -> None:
        """Make one step."""
        world, process = self._world, self._relay.process
        world.steps += 1
        if world.steps > MAX_STEPS:
            world.violate("progress", f"the simulation does not end within {MAX_STEPS:,} steps")
        if process is None:
            world.now = max(world.now, world.next_at)
            world.happen()
            return
        loop = process.loop
        loop.make_timers_ready()
        if world.next_at <= world.now and (not loop.has_ready or world.chance(HAPPENING_FIRST_SHARE)):
            world.happen()
        elif loop.has_ready:
            world.now += CALLBACK_SECONDS
            loop.run_one()
            self._after_callback(process)
        else:
            world.now = max(world.now, min(world.next_at, loop.next_at))

    def _after_callback(self, process: RelayProcess) -> None:
        """Notice that the callback has ended the process."""
        image = self._parts.storage.killed_image
        if image is not None:
            self._world.note("kill -9 at a commit")
            self._relay.crash(image, how="killed")
        elif process.loop.errors:
            self._world.violate("no internal error", process.loop.errors[0])
        elif process.main.done():
            ending = self._relay.take_ending(process)
            if self._is_complete(ending):
                self._finish()
            else:
                self._relay.plan_restart()

    # -- the end

    def _end_faults(self) -> None:
        """From now on everything works. The rest of the events is written, and the relay drains the spool."""
        self._world.note("the faults end")
        self._faults.end()
        self._parts.writer.finish()
        self._world.after(SETTLE_SECONDS - 2.0, self._normalize)
        self._world.after(SETTLE_SECONDS, self._await_drain)
        self._drain_until = self._world.now + SETTLE_SECONDS + DRAIN_SECONDS

    def _normalize(self) -> None:
        """Enable, create and resume every webhook, and make its deliveries due."""
        for address in map(self._parts.state.present, sorted(self._parts.scenario.documents)):
            self._applies.enable(address)
            self._applies.create_again(address)
            self._operators.resume(address)
            self._operators.retry_now(address)

    def _await_drain(self) -> None:
        """Start the relay if it does not run, and stop one that has nothing more to do."""
        world, process = self._world, self._relay.process
        self._is_draining = True
        if process is None:
            self._relay.start()
        elif (
            self._is_drained()
            and self._parts.scenario.input is Input.LOG
            and world.now > process.started_at + self._notice_seconds
        ):
            self._relay.stop()
        if world.now > self._drain_until - DRAIN_SECONDS / 2:
            self._accept_refused()
        if world.now > self._drain_until:
            world.violate(
                "everything drains", f"{self._pending()} deliveries are pending {DRAIN_SECONDS:g} s after the faults"
            )
        world.after(2.0, self._await_drain)

    def _accept_refused(self) -> None:
        """Let the endpoints accept the pending events from now on, if only events that they refuse are pending, and
        later events of their messages.

        An endpoint that refuses twenty events in a row keeps its backlog: these events wait for their `maxAge`.
        """
        with self._parts.storage.view() as view:
            states = {} if view is None else view.states()
        pending = [self._parts.events[number] for number, state in states.items() if state == State.PENDING]
        first: dict[tuple[object, ...], SimulatedEvent] = {}
        for event in sorted(pending, key=lambda one: one.number):
            webhook = self._parts.state.webhooks.get(self._parts.state.present(event.address))
            ordered = webhook is not None and webhook.delivery.ordering is Ordering.MESSAGE
            first.setdefault((event.address, event.message) if ordered else (event.number,), event)
        if pending and all(event.bad for event in first.values()):
            self._world.note(f"the endpoints accept {len(first)} events that they have refused")
            for event in pending:
                event.bad = False
            for address in sorted({event.address for event in pending}):
                self._operators.retry_now(self._parts.state.present(address))

    def _is_complete(self, ending: Ending | None) -> bool:
        """Whether the relay has ended as it does after the last event: on a signal if it follows a log."""
        wanted = Ending.STOPPED if self._parts.scenario.input is Input.LOG else Ending.SETTLED
        return self._is_draining and ending is wanted and self._is_drained()

    def _is_drained(self) -> bool:
        return self._parts.writer.all_written and not self._pending()

    def _pending(self) -> int:
        with self._parts.storage.view() as view:
            return 0 if view is None else view.pending()

    def _finish(self) -> None:
        self._is_finished = True
        with self._parts.storage.view() as view:
            assert view is not None
            FinalCheck(self._parts, view, ages_are_exact=self._relay.ages_are_exact).run()
