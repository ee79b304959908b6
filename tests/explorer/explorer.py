"""Explores every interleaving of a few processes on a shared spool, on a real PostgreSQL server.

Two or three processes run the store's own code: leases, and the transactions of a settlement. Each has a thread for
its leases and one for its deliveries. A thread stops before each statement, before each COMMIT, and before each
decision that depends on its lease. The explorer chooses the thread that continues, in all possible ways. A thread
that is not chosen is a process that was stopped at that place; it may wake at any later one. The clock of the server
and of the processes moves only when the explorer chooses a tick. A statement that waits for a lock is recognized by
`pg_blocking_pids`, without waiting for a time.

After each step the invariants are checked (`invariants`). States that were seen before are not entered again. The
server cannot go back, so the explorer begins again for each branch and repeats the steps up to it.

A finding is a list of steps. The broken variants in `test_explorer` replace a part of a statement of the store, and
each of them must lead to a finding.

Read the package in this order: `stepped_thread`, `stepped_connection`, `world`, `calls`, `invariants`, `scenarios`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from explorer.invariants import violation_after_step, violation_at_end
from explorer.world import Server, World


@dataclass(frozen=True)
class Scenario:
    """The first state of a spool, and the calls of its processes. `build` adds them to a world."""

    slots: int
    ticks: int
    build: Callable[[World], None]


@dataclass
class Report:
    """The result of an exploration. `steps` leads to the violation."""

    states: int = 0
    transitions: int = 0
    interleavings: int = 0
    violation: str | None = None
    steps: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.interleavings} interleavings, {self.states} states, {self.transitions} transitions"
        return counts if self.violation is None else "\n  ".join((self.violation, *self.steps))


class Violated(Exception):
    """An invariant does not hold after these steps."""


class Explorer:
    """Depth first. `explore` ends at the first violation."""

    def __init__(self, scenario: Scenario, changed: Mapping[str, str] | None = None) -> None:
        self.scenario = scenario
        self.report = Report()
        self._server = Server(scenario.slots, changed or {})
        self._seen: dict[str, int] = {}  # the number of interleavings from each state
        self._world = self._begin([], set())

    def explore(self) -> Report:
        try:
            self.report.interleavings = self._visit([])
        except Violated:
            pass
        finally:
            self._world.abandon()
            self._server.close()
        self.report.states = len(self._seen)
        return self.report

    def _begin(self, actions: list[str], settled: set[str]) -> World:
        """A new run that has taken these steps, in which these deliveries were settled."""
        world = World(self._server, self.scenario.ticks)
        self.scenario.build(world)
        for action in actions:
            world.act(action)
        world.read_committed()
        world.settled = set(settled)
        return world

    def _visit(self, actions: list[str]) -> int:
        """Explore all steps after these. Returns the number of interleavings."""
        key = self._world.key()
        if key in self._seen:
            return self._seen[key]
        ready = self._world.actions()
        if not ready:
            self._check(violation_at_end(self._world), actions)
            self._seen[key] = 1
            return 1
        found, settled = 0, set(self._world.settled)
        for number, action in enumerate(ready):
            if number:
                self._world.abandon()
                self._world = self._begin(actions, settled)
                assert key == self._world.key(), "the same steps lead to another state"
            found += self._step(actions, action)
        self._seen[key] = found
        return found

    def _step(self, actions: list[str], action: str) -> int:
        label = next((thread.label for thread in self._world.threads() if thread.name == action), "time passes")
        before = self._world.committed
        self._world.act(action)
        self._world.read_committed()
        self.report.transitions += 1
        self.report.steps.append(f"{action}: {label}")
        self._check(violation_after_step(self._world, before, action), [*actions, action])
        found = self._visit([*actions, action])
        self.report.steps.pop()
        return found

    def _check(self, violation: str | None, actions: list[str]) -> None:
        if violation is not None:
            self.report.violation = violation
            raise Violated(actions)
