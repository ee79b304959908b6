"""The database of a simulation: a real PostgreSQL server whose clock is virtual, with connections that fail.

The server keeps everything that was committed: a kill or a power cut of the relay's machine only ends its
connections. Each seed has a spool of its own in one database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TypeVar

import psycopg

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, SpoolRow, Step
from hookline.state.postgres_address import PostgresAddress
from postgres_server import shared_server
from simulation.checks.spool_view import SpoolView
from simulation.database.shared_view import SharedView
from simulation.disk import Killed
from simulation.storage import PlannedFaults
from simulation.world import EPOCH, World

# Found before pg_catalog's function of this name, so the store's statements read the clock of the simulation.
_CLOCK: Final = (
    "CREATE SCHEMA simulation",
    "CREATE TABLE simulation.clock (seconds double precision NOT NULL)",
    "INSERT INTO simulation.clock VALUES (0)",
    "CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
    "'SELECT to_timestamp(seconds) FROM simulation.clock'",
)
# The server's clock follows the virtual time in steps of this length.
CLOCK_STEP_SECONDS: Final = 0.05

_T = TypeVar("_T")


def database() -> str:
    """The URL of the database of all simulations of this process. Forked processes share a server."""
    return _database(os.getpid())


@cache
def _database(pid: int) -> str:
    server, name = shared_server(), f"simulation_{pid}"
    server.execute("postgres", f"CREATE DATABASE {name}")
    server.execute(name, *_CLOCK, f"ALTER DATABASE {name} SET search_path = simulation, pg_catalog")
    return server.url(name)


class SimulatedDatabase(PlannedFaults):
    """Implements SimulatedStorage for one spool, of the schema `schema`."""

    def __init__(self, world: World, schema: str) -> None:
        super().__init__(world)
        self._schema = schema
        self._operator = False
        self._monitor = psycopg.connect(database(), autocommit=True)
        self._clock = 0.0
        self._connections: list[DatabaseConnection] = []
        self._set_clock()

    def connection(self, address: PostgresAddress) -> SpoolConnection:
        """A connection of the process that runs now, or of an operator."""
        if self._operator:
            return SpoolConnection(address)
        connection = DatabaseConnection(address, self, self._world.even)
        self._connections.append(connection)
        return connection

    def drop(self) -> None:
        """Remove the spool."""
        self.restore({})
        self._monitor.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE".encode())
        self._monitor.close()

    # -- faults

    @property
    def has_failed_commit(self) -> bool:
        """Never: what the server has committed is not lost, also if its answer was."""
        return False

    @contextmanager
    def by_operator(self) -> Iterator[None]:
        before, self._operator = self._operator, True
        try:
            self._set_clock()
            yield
        finally:
            self._operator = before

    def require_answer(self) -> None:
        """Raise the error of a server that does not answer now. Called before each statement of a process."""
        self._set_clock()
        if self.faults.full == 1.0 and not self._operator:
            raise SpoolStalled("the simulated database does not answer")

    def commit(self, run: Callable[[], _T], connection: DatabaseConnection) -> _T:
        """One transaction, with the faults that are active. `run` commits."""
        self.require_answer()
        if self._operator:
            return run()
        chance = self._world.chance
        if chance(self.faults.full):
            raise SpoolStalled("the simulated database has no room")
        if chance(self.faults.failed_sync):
            stored = chance(0.5)
            self._world.note(f"database: the connection is lost, the commit is {'' if stored else 'not '}stored")
            if stored:
                run()
            connection.close()
            raise SpoolStalled("the connection to the simulated database was lost")
        moment = self._kill_moment("before", "after")
        if moment == "before":
            self._kill()
        result = run()
        if moment == "after":
            self._kill()
        return result

    def _kill(self) -> None:
        self.killed_image = {}
        raise Killed

    def _set_clock(self) -> None:
        now = self._world.even()
        if now - self._clock > CLOCK_STEP_SECONDS or not self._clock:
            self._clock = now
            self._monitor.execute("UPDATE simulation.clock SET seconds = %s", (EPOCH + now,))

    # -- crashes

    def image(self) -> dict[str, bytes]:
        return {}

    def power_cut_image(self) -> dict[str, bytes]:
        self._world.note("power cut of the relay's machine")
        return {}

    def restore(self, image: dict[str, bytes]) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self.killed_image = None

    # -- readers past the faults

    @contextmanager
    def view(self) -> Iterator[SpoolView | None]:
        yield SharedView(self._query)

    view_of_copy = view

    def _query(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        text = statement.replace("spool.", f"{self._schema}.").encode()
        return self._monitor.execute(text, values or None).fetchall()


class DatabaseConnection(SpoolConnection):
    """A connection of a simulated process. Each of its transactions goes through the database's faults."""

    def __init__(
        self, address: PostgresAddress, simulated: SimulatedDatabase, monotonic: Callable[[], float]
    ) -> None:
        super().__init__(address, monotonic=monotonic)
        self._simulated = simulated

    def query(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), *, binary: bool = False
    ) -> list[SpoolRow]:
        self._simulated.require_answer()
        return super().query(statement, parameters, binary=binary)

    def run(
        self,
        *steps: Step,
        guards: Sequence[Step] = (),
        check: Callable[[Sequence[list[SpoolRow]]], None] = lambda _: None,
        after: Sequence[Step] = (),
    ) -> list[list[SpoolRow]]:
        call = super().run
        return self._simulated.commit(lambda: call(*steps, guards=guards, check=check, after=after), self)
