"""Another process of the shared spool. It takes its share of the slots, delivers nothing, and gives it back."""

from __future__ import annotations

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from simulation.database.simulated_store import SimulatedStore
from simulation.storage import SimulatedStorage
from simulation.world import World

RENEW_SECONDS = 1.0


class Neighbour:
    """One process from its start to its end."""

    def __init__(self, world: World, store: SimulatedStore, storage: SimulatedStorage, *, seconds: float) -> None:
        """Let it join. After `seconds` it leaves, or is killed."""
        self._world = world
        self._storage = storage
        with storage.by_operator():
            self._leases: SlotLeases | None = SlotLeases(
                store.connection(), kind="deliver", name="", now=world.wall()
            )
            self._leases.join()
        world.note("another process joins")
        world.after(0.0, self._renew)
        world.after(seconds, self.end)

    def _renew(self) -> None:
        if self._leases is None:
            return
        leases = self._leases
        with self._storage.by_operator():
            if not leases.renew():
                leases.join()
            try:
                membership = leases.rebalance()
            except SpoolStalled:  # its row was ended in between
                membership = None
            if membership is not None and (surplus := len(membership.owned) - membership.target) > 0:
                leases.release(sorted(membership.owned)[-surplus:])
        self._world.after(RENEW_SECONDS, self._renew)

    def end(self) -> None:
        """Give everything up, or leave it to the end of the lease."""
        if self._leases is None:
            return
        leases, self._leases = self._leases, None
        killed = self._world.chance(0.5)
        self._world.note(f"the other process {'is killed' if killed else 'leaves'}")
        if not killed:
            with self._storage.by_operator():
                leases.leave()
        leases.close()
