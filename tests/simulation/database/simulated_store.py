"""The shared store of a simulation: its connections are those of the simulated database."""

from __future__ import annotations

from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from simulation.database.database import SimulatedDatabase


class SimulatedStore(SharedStore):
    """The store of one simulated spool."""

    def __init__(self, location: str, simulated: SimulatedDatabase) -> None:
        super().__init__(location)
        self.simulated = simulated

    def connection(self, *, read_only: bool = False) -> SpoolConnection:
        return self.simulated.connection(self._address)
