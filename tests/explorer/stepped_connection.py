"""A connection of the store whose thread stops before each statement, and before each COMMIT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from explorer.stepped_thread import SteppedThread
from hookline.relay.spool.postgres import lease_statements
from hookline.relay.spool.postgres.binary_arrays import register_arrays
from hookline.relay.spool.postgres.relay_ports import (
    delivery_writer,
    pending_queries,
    settlement_writer,
    source_positions,
)
from hookline.relay.spool.postgres.spool_connection import Connection, SpoolConnection, SpoolRow, Step
from hookline.state.postgres_address import PostgresAddress

_R = TypeVar("_R")
# These are not steps: nothing that another thread does in between changes their result.
_QUIET = frozenset({"ADD_READER", "FREE_READERS", "IDENTIFY", "COUNT", "REMOVE_SUPERSEDED"})
_CHANGES = ("UPDATE", "INSERT", "DELETE", "WITH")


class SteppedCursor(psycopg.Cursor[SpoolRow]):
    """Names the statement for the step, and notes its result."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> SteppedCursor:
        session = self.connection
        assert isinstance(session, SteppedSession)
        text = query.encode() if isinstance(query, str) else query
        label = session.label = session.names.get(text, text.decode().strip()[:60])
        super().execute(query, params, **options)
        result = self.pgresult
        if session.thread is not None and result is not None:
            rows = [tuple(result.get_value(n, m) for m in range(result.nfields)) for n in range(result.ntuples)]
            session.thread.history.append((label, self.rowcount, tuple(rows)))
        return self


class SteppedSession(psycopg.Connection[SpoolRow]):
    """Stops its thread before each message to the server, except BEGIN: it neither reads nor locks anything."""

    thread: SteppedThread | None = None
    names: Mapping[bytes, str]
    label: str = ""

    def wait(self, gen: PQGen[_R], interval: float = 0.1, timeout: float | None = None) -> _R:
        label, self.label = self.label, ""
        if self.thread is not None:
            self.thread.backend_pid = self.info.backend_pid
            if label and label not in _QUIET:
                self.thread.pause(label)
            elif not label and self.info.transaction_status == TransactionStatus.INTRANS:
                self.thread.pause("COMMIT", ends_transaction=True)
        return super().wait(gen, interval, timeout)


class SteppedConnection(SpoolConnection):
    """`changed` replaces statements of the store, for its broken variants."""

    def __init__(self, address: PostgresAddress, changed: Mapping[str, str]) -> None:
        super().__init__(address)
        self._changed = changed
        self._names: dict[bytes, str] = {}
        for module in (lease_statements, settlement_writer, delivery_writer, pending_queries, source_positions):
            for name, text in vars(module).items():
                if isinstance(text, str) and name.isupper():
                    self._names[self.sql(text)] = name.strip("_")

    def sql(self, statement: str) -> bytes:
        return super().sql(self._changed.get(statement, statement))

    def _reconnect(self) -> Connection:
        session = SteppedSession.connect(
            self._conninfo, autocommit=True, prepare_threshold=None, cursor_factory=SteppedCursor
        )
        session.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        session.names = self._names
        register_arrays(session)
        return session

    def session(self) -> SteppedSession:
        connection = self.connect()
        assert isinstance(connection, SteppedSession)
        return connection

    def run(
        self,
        *steps: Step,
        guards: Sequence[Step] = (),
        check: Callable[[Sequence[list[SpoolRow]]], None] = lambda _: None,
        after: Sequence[Step] = (),
    ) -> list[list[SpoolRow]]:
        """Run a message of the store in steps. Without its time limits: a thread waits here for as long as the
        explorer does something else."""
        with self.transaction() as connection:
            check([self._rows(connection, *one) for one in guards])
            rows = [self._rows(connection, *one) for one in steps]
        return [*rows, *(self.run(*after) if after else ())]

    def _rows(self, connection: Connection, statement: str, values: Any) -> list[SpoolRow]:
        if "set_config" in statement:
            return []
        cursor = connection.cursor(binary=True).execute(self.sql(statement), values)
        return cursor.fetchall() if cursor.description else []

    def query(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), *, binary: bool = False
    ) -> list[SpoolRow]:
        """Run a message of the store in steps: each of its statements, and the commit."""
        parts = [part for part in statement.split(";") if not part.startswith("SET")]
        if not any(part.strip().startswith(_CHANGES) for part in parts):
            return super().query(statement, parameters, binary=binary)
        with self.transaction() as connection:
            for part in parts:
                cursor = connection.execute(self.sql(part), parameters)
            return cursor.fetchall() if cursor.description else []


def stepping(connection: SteppedConnection, call: Callable[[SteppedThread], None]) -> Callable[[SteppedThread], None]:
    """A call of a thread that uses this connection."""

    def run(thread: SteppedThread) -> None:
        connection.session().thread = thread
        call(thread)

    return run
