"""The faults of a simulation: kills, power cuts, stops, a bad disk, an unreadable state, and a clock that is set."""

from __future__ import annotations

from hookline.errors import SpoolUnusable
from hookline.relay.spool.crash_guard import start_wait_seconds
from simulation.database.neighbour import Neighbour
from simulation.database.simulated_store import SimulatedStore
from simulation.parts import SimulationParts
from simulation.relay_life import RelayLife
from simulation.storage import StorageFaults

# The relay writes everything that it holds within this time after the disk works again.
DISK_RECOVERY_SECONDS = 6.0
SUSPENSION_SECONDS = 3600.0


class Faults:
    """The cause of all faults in one simulation."""

    def __init__(self, parts: SimulationParts, relay: RelayLife) -> None:
        self._parts = parts
        self._world = parts.world
        self._storage = parts.storage
        self._relay = relay
        self._crash_loop_begun = False
        self._neighbours: list[Neighbour] = []

    # -- of the process

    def kill(self) -> None:
        """Kill the relay, now or at one of its next commits."""
        if self._relay.process is None:
            return
        if self._parts.scenario.happenings.begins_crash_loop and not self._crash_loop_begun:
            self._begin_crash_loop()
        if self._world.chance(0.5):
            self._storage.kill_at_commit = self._world.random.randint(1, 6)
            return
        self._world.note("kill -9")
        self._relay.crash(self._storage.image(), how="killed")

    def _begin_crash_loop(self) -> None:
        """Let the next processes crash before they make progress, and others while they take one item in hand after
        the other."""
        random = self._world.random
        self._crash_loop_begun = True
        soon = [random.choice((0.003, 0.01, 0.03)) for _ in range(random.randint(3, 4))]
        careful = [
            random.choice((0.0, start_wait_seconds(len(soon) + n))) + random.uniform(0.0, 0.2)
            for n in range(random.randint(1, 4))
        ]
        self._relay.crash_after([*soon, *careful])

    def cut_power(self) -> None:
        """Cut the power. The disk loses a part of the data that was not synced."""
        if self._relay.process is not None:
            self._relay.crash(self._storage.power_cut_image(), how="cut off from power")

    def stop_for_long(self) -> None:
        """Cut the power, and leave the machine off for a long time."""
        self.cut_power()
        seconds = self._parts.scenario.happenings.off_seconds
        self._world.note(f"the machine is off for {seconds / 3600:g} h")
        self._world.pass_over(seconds)

    def suspend(self) -> None:
        """Suspend the machine for an hour. The relay sleeps with it, and then finds that time has passed."""
        self._world.note("the machine sleeps for an hour")
        self._world.pass_over(SUSPENSION_SECONDS)
        self._parts.invariants.time_passed()

    def start_second(self) -> None:
        """Start a second relay on the same spool, which must be refused. A shared spool gets a second process."""
        process = self._relay.process
        if process is None or not process.owns_spool:
            return
        if isinstance(store := self._parts.store, SimulatedStore):
            self._neighbours.append(
                Neighbour(self._world, store, self._storage, seconds=self._world.random.uniform(1.0, 20.0))
            )
            return
        try:
            with self._storage.by_operator():
                second = self._parts.store.open(since="later")
        except SpoolUnusable as refused:
            self._world.note(f"a second relay is refused: {type(refused).__name__}")
        else:
            second.close()
            self._world.violate("one owner", "a second relay opened the spool")

    # -- of the machine

    def set_clock(self) -> None:
        """Set the wall clock forward or back."""
        seconds = self._world.random.choice((-3600.0, -30.0, -5.0, 5.0, 30.0, 3600.0))
        self._world.note(f"the clock is set by {seconds:g} s")
        self._world.set_clock(seconds)
        self._parts.invariants.clock_set()

    def fail_disk(self) -> None:
        """Make the disk full, unreliable or slow for a time."""
        random = self._world.random
        match random.randrange(3):
            case 0:
                faults = StorageFaults(full=random.choice((0.3, 1.0)))
            case 1:
                faults = StorageFaults(failed_sync=0.2)
            case _:
                faults = StorageFaults(seconds=(0.01, random.choice((0.2, 2.0))))
        self._world.note(f"the disk fails: {faults}")
        self._storage.fail(faults)
        self._world.after(random.uniform(0.5, 15.0), self._heal_disk)

    def _heal_disk(self) -> None:
        self._world.note("the disk works again")
        self._storage.heal()
        self._world.after(DISK_RECOVERY_SECONDS, self._storage.trust)

    def fail_state(self) -> None:
        """Make the stored state unreadable for a time."""
        self._world.note("the state cannot be read")
        self._parts.state.unreadable = True
        self._world.after(self._world.random.uniform(1.0, 10.0), self._heal_state)

    def _heal_state(self) -> None:
        self._world.note("the state can be read again")
        self._parts.state.unreadable = False

    # -- the end

    def end(self) -> None:
        """From now on everything works."""
        self._storage.kill_at_commit = None
        self._relay.crash_after([])
        for neighbour in self._neighbours:
            neighbour.end()
        self._storage.heal()
        self._parts.state.unreadable = False
        self._world.after(DISK_RECOVERY_SECONDS, self._storage.trust)
        for endpoint in self._parts.endpoints.values():
            endpoint.heal()
