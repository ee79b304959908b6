"""One run of a scenario: a spool on a real server, its processes, and a clock that moves only as an action."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import psycopg

from explorer.stepped_connection import SteppedConnection
from explorer.stepped_thread import SteppedThread
from hookline.model import Address
from hookline.relay.spool.postgres import slot_leases
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import schema_of
from postgres_server import shared_server

# Nine tenths of a lease: after one tick, the owner has stopped; after two, the lease is over for the server.
TICK_SECONDS: Final = 9
LEASE_SECONDS: Final = 10.0
# Longer than the ticks of a run.
RUN_SECONDS: Final = 1000
READER: Final = "logs"
# Found before pg_catalog's function of this name, so the store's statements read the clock of the explorer.
_CLOCK: Final = (
    "CREATE SCHEMA explorer",
    "CREATE TABLE explorer.clock (seconds integer NOT NULL)",
    "INSERT INTO explorer.clock VALUES (0)",
    "CREATE FUNCTION explorer.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
    "'SELECT to_timestamp(seconds) FROM explorer.clock'",
)
_COMMITTED: Final = """
SELECT json_build_object(
  'process', (SELECT json_object_agg(token, expires::text) FROM spool.process),
  'slot', (SELECT json_object_agg(slot, json_build_array(epoch, process)) FROM spool.slot),
  'delivery', (SELECT json_object_agg(seq, json_build_array(slot, state, tries)) FROM spool.delivery),
  'reader', (SELECT json_build_array(epoch, process) FROM spool.reader),
  'position', (SELECT json_agg("offset") FROM spool.position))::text
"""
_STALE_AFTER_SECONDS: Final = 0.004


@dataclass
class Process:
    """A process: leases and spool, each with a connection. `settling` and `storing` are epochs of its last calls."""

    name: str
    leases: SlotLeases
    spool: PostgresSpool
    lease_connection: SteppedConnection
    spool_connection: SteppedConnection
    expires: float = LEASE_SECONDS
    settling: int | None = None
    storing: int | None = None
    threads: list[SteppedThread] = field(default_factory=list)


class Server:
    """A database with an empty spool for the explorer, and the connections that all runs use again."""

    def __init__(self, slots: int, changed: Mapping[str, str]) -> None:
        server = shared_server()
        database = server.new_database()
        server.execute(database, *_CLOCK, f"ALTER DATABASE {database} SET search_path = explorer, pg_catalog")
        self.store = SharedStore(server.url(database))
        self.store.create(slots=slots, lease_seconds=LEASE_SECONDS)
        self.addresses = [_address_in(slot, slots) for slot in range(slots)]
        self.address = self.store.connection().address
        self.schema = schema_of(self.address)
        self.slots = slots
        self._boot_clock = slot_leases.boot_clock
        self.monitor = psycopg.connect(server.url(database), autocommit=True)
        for slot, address in enumerate(self.addresses):
            self.execute(
                "INSERT INTO spool.webhook (organization, sandbox, slot) "
                f"VALUES ('{address.organization}', '{address.sandbox}', {slot})"
            )
        self._changed = changed
        self._connections: dict[str, SteppedConnection] = {}
        self._spools: dict[str, PostgresSpool] = {}

    def connection(self, name: str) -> SteppedConnection:
        if name not in self._connections:
            self._connections[name] = SteppedConnection(self.address, self._changed)
            self._connections[name].connect()
        connection = self._connections[name]
        connection.session().thread = None
        return connection

    def spool(self, name: str, leases: SlotLeases) -> PostgresSpool:
        """The spool of a process, which uses these leases from now on."""
        connection = self.connection(f"{name} spool")
        if name not in self._spools:
            self._spools[name] = PostgresSpool(connection, leases)
        self._spools[name].leases = leases
        self._spools[name].reader = READER
        self._spools[name]._pending = 0  # so that it is not counted
        self._spools[name]._no_starts = {}  # what it remembers of an earlier run
        return self._spools[name]

    def execute(self, statements: str) -> list[tuple[Any, ...]]:
        cursor = self.monitor.execute(statements.replace("spool.", f"{self.schema}.").encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self.monitor.close()
        slot_leases.boot_clock = self._boot_clock


def _address_in(slot: int, slots: int) -> Address:
    """An address of a slot."""
    return next(one for n in count() if slot_of(one := Address("acme", f"sandbox-{n}"), slots) == slot)


class World:
    """A run. `start` puts the processes into their first state; `act` runs one step or one tick."""

    def __init__(self, server: Server, ticks: int) -> None:
        self.server = server
        self.seconds = 0
        self.ticks_left = ticks
        self.processes: list[Process] = []
        self.settled: set[str] = set()
        self.findings: list[str] = []
        self.committed: dict[str, Any] = {}
        slot_leases.boot_clock = self.clock

    def clock(self) -> float:
        return float(self.seconds)

    # -- building the first state

    def process(self, name: str, slots: Mapping[int, int]) -> Process:
        """A process that has joined and owns these slots in these epochs."""
        token = uuid.UUID(int=len(self.processes) + 1)
        connection = self.server.connection(f"{name} leases")
        leases = SlotLeases(connection, kind="relay", name=name, now=0.0)
        leases.token, leases.owned = token, dict(slots)
        leases._valid_until = LEASE_SECONDS * slot_leases.SENDING_PART_OF_LEASE
        spool = self.server.spool(name, leases)
        process = Process(name, leases, spool, connection, self.server.connection(f"{name} spool"))
        self.processes.append(process)
        return process

    def let_live(self, process: Process) -> None:
        """The lease of a process lasts for the whole run, as if it renewed it unseen."""
        process.expires = process.leases._valid_until = RUN_SECONDS

    def let_expire(self, process: Process) -> None:
        """The lease of a process is over, for itself and for the server."""
        process.expires = process.leases._valid_until = 0.0

    def nobody_dies(self) -> None:
        """No process looks for others whose lease is over."""
        for process in self.processes:
            process.leases._patient_until = float("inf")

    def store_first_state(self, deliveries: Mapping[int, int]) -> None:
        """Put the processes, their slots and pending deliveries (`seq`: slot) into the spool."""
        owners = {
            slot: (one.leases.token, epoch) for one in self.processes for slot, epoch in one.leases.owned.items()
        }
        statements = [
            *(f"DELETE FROM spool.{table}" for table in ("delivery", "position", "slot", "reader", "process")),
            "UPDATE explorer.clock SET seconds = 0",
        ]
        statements += [
            "INSERT INTO spool.process (token, kind, name, host, pid, started, format, expires) VALUES "
            f"('{process.leases.token}', 'relay', '{process.name}', '', 1, 0, 1, to_timestamp({process.expires}))"
            for process in self.processes
        ]
        for slot in range(self.server.slots):
            token, epoch = owners.get(slot, (None, 1))
            owner = "NULL" if token is None else f"'{token}'"
            statements.append(f"INSERT INTO spool.slot (slot, epoch, process) VALUES ({slot}, {epoch}, {owner})")
        columns = "seq, id, slot, webhook, since, request_id, channel, status, source, line, body"
        statements += [
            f"INSERT INTO spool.delivery ({columns}) "
            f"VALUES ({seq}, '\\x{seq:032x}', {slot}, {slot + 1}, 0, '', '', '', '', 0, '')"
            for seq, slot in deliveries.items()
        ]
        statements += [
            f"INSERT INTO spool.reader (name, epoch, process) VALUES ('{READER}', {one.leases.reader_epoch}, "
            f"'{one.leases.token}')"
            for one in self.processes
            if one.leases.reader_epoch is not None
        ]
        self.server.execute(";".join(statements))

    # -- actions

    def threads(self) -> list[SteppedThread]:
        return [thread for process in self.processes for thread in process.threads]

    def actions(self) -> list[str]:
        """The steps that can be taken now, in a fixed order."""
        ready = [thread.name for thread in self.threads() if thread.is_ready]
        return [*ready, "tick"] if self.ticks_left else ready

    def act(self, action: str) -> None:
        if action == "tick":
            self._tick()
        else:
            thread = next(thread for thread in self.threads() if thread.name == action)
            thread.resume()
            self._wait_for(thread)
        self._wake_blocked()
        for thread in self.threads():
            if thread.failure is not None:
                self.findings.append(f"{thread.name} failed: {thread.failure!r}")

    def _tick(self) -> None:
        self.ticks_left -= 1
        self.seconds += TICK_SECONDS
        self.server.execute(f"UPDATE explorer.clock SET seconds = {self.seconds}")

    def _wait_for(self, thread: SteppedThread) -> None:
        """Wait until a thread stops, or waits for a lock that another session holds."""
        while not thread.stops(_STALE_AFTER_SECONDS):
            if blockers := self._blockers(thread):
                thread.is_blocked = True
                self._check_blockers(thread, blockers)
                return

    def _wake_blocked(self) -> None:
        """Each step may have released the lock that a blocked thread waits for."""
        woken = True
        while woken:
            woken = False
            for thread in self.threads():
                while thread.is_blocked:
                    if thread.stops(0) or (not self._blockers(thread) and thread.stops(_STALE_AFTER_SECONDS)):
                        thread.is_blocked, woken = False, True
                    elif self._blockers(thread):
                        break

    def _blockers(self, thread: SteppedThread) -> list[int]:
        return list(self.server.execute(f"SELECT pg_blocking_pids({thread.backend_pid})")[0][0])

    def _check_blockers(self, thread: SteppedThread, blockers: Sequence[int]) -> None:
        """The calls of leases wait for no transaction whose client may be stopped."""
        names = [other.name for other in self.threads() if other.backend_pid in blockers]
        if thread.name.endswith("leases") and any(name.endswith("spool") for name in names):
            self.findings.append(f"{thread.name} waits for {', '.join(names)} at {thread.label}")

    # -- looking at the state

    def read_committed(self) -> None:
        self.committed = json.loads(self.server.execute(_COMMITTED)[0][0])

    def key(self) -> str:
        """The whole state, as a text that is equal for equal states."""
        local = [
            (
                process.leases.token, sorted(process.leases.owned.items()), process.leases._valid_until,
                process.leases._patient_until, process.leases.reader_epoch,
                process.settling, process.storing,
                *(thread.position() for thread in process.threads),
            )
            for process in self.processes
        ]  # fmt: skip
        shared = self.seconds, self.ticks_left, sorted(self.settled)
        return repr((local, shared, json.dumps(self.committed, sort_keys=True)))

    def abandon(self) -> None:
        """End all threads and roll their transactions back."""
        for thread in self.threads():
            thread.abandon()
        for thread in self.threads():
            thread.join()
