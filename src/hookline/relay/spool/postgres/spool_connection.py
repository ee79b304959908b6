"""A connection to a shared spool. Reconnects after a failure, and maps every error of the library.

It relies on no session state, so that a pooler may run each transaction in another session of the server.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final, TypeAlias

import psycopg

from hookline.errors import SpoolStalled, SpoolUnusable
from hookline.relay.spool.postgres.binary_arrays import register_arrays
from hookline.relay.spool.postgres.pipelines import roll_back, run_pipelined
from hookline.relay.spool.postgres.prepared_statements import PreparedStatements
from hookline.relay.spool.postgres.spool_tables import SHARED_FORMAT, SPOOL_APPLICATION
from hookline.state.postgres_address import (
    DEFAULT_NAME,
    PostgresAddress,
    connection_failure,
    in_one_line,
    is_connection_lost,
)
from hookline.state.postgres_store import libpq_conninfo

SpoolRow: TypeAlias = tuple[Any, ...]
Connection: TypeAlias = "psycopg.Connection[SpoolRow]"
# A statement and its parameters.
Step: TypeAlias = "tuple[str, Sequence[object] | Mapping[str, object]]"

FIRST_PAUSE_SECONDS: Final = 0.1
MAX_PAUSE_SECONDS: Final = 2.0
# serialization_failure, deadlock_detected, lock_not_available, query_canceled, and the timeouts of transactions:
# the server has rolled back, and the same call may succeed later.
_TEMPORARY: Final = ("40001", "40P01", "55P03", "57014", "25P03", "25P04", "53")
_DAMAGE: Final = ("23", "42P01", "42703", "42804", "42883", "3F000", "XX001", "XX002")
# The longest time of a transaction that locks rows of slots, as a part of a lease.
TRANSACTION_PART_OF_LEASE: Final = 0.33
_LIMITS: Final = (
    b"SELECT set_config('statement_timeout', %(limit)s, true), "
    b"set_config('idle_in_transaction_session_timeout', %(limit)s, true)"
)
_LIMITS_FROM_17: Final = _LIMITS + b", set_config('transaction_timeout', %(limit)s, true)"
_TRANSACTION_TIMEOUT_VERSION: Final = 170_000
_READ_META: Final = "SELECT format, application, slots, lease_seconds FROM spool.meta WHERE id = 1"
_BEGIN: Final[Step] = ("BEGIN ISOLATION LEVEL READ COMMITTED", ())
_COMMIT: Final[Step] = ("COMMIT", ())
_FIND: Final = "SELECT to_regclass(%s) IS NOT NULL"


def schema_of(address: PostgresAddress) -> str:
    """The schema of a spool."""
    return "hookline_spool" if address.name == DEFAULT_NAME else f"hookline_spool_{address.name}"


class Conflict(Exception):
    """A transaction has inserted a row that another one has inserted before, and is rolled back."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


class SpoolConnection:
    """One connection, opened at the first use. Used by one thread at a time.

    Raises SpoolStalled while the server cannot be reached, or has rolled back a transaction that may succeed later;
    SpoolUnusable if the spool does not exist, has another format, or this role may not use it.
    """

    newest_format: ClassVar[int] = SHARED_FORMAT

    def __init__(
        self,
        address: PostgresAddress,
        *,
        oldest_format: int | None = None,
        read_only: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create it. By default it accepts the newest format and the one before. The transactions of a `read_only`
        one cannot write. Raises WrongUse if libpq cannot read the address."""
        self.address = address
        self._read_only = read_only
        self._begin: Step = (f"{_BEGIN[0]} READ ONLY", ()) if read_only else _BEGIN
        self._oldest_format = self.newest_format - 1 if oldest_format is None else oldest_format
        self.schema = schema_of(address)
        self._conninfo = libpq_conninfo(address, "--spool")
        self._connection: Connection | None = None
        self._checked = False
        self._monotonic = monotonic
        self._pause_seconds = 0.0
        self._next_try = 0.0
        self._last_failure: tuple[str, str] | None = None
        self._sql: dict[str, bytes] = {}
        self._prepared = PreparedStatements()
        self.opened = 0  # how many connections were opened until now

    def sql(self, statement: str) -> bytes:
        """The statement with the schema of the spool."""
        if (known := self._sql.get(statement)) is None:
            known = self._sql[statement] = statement.replace("spool.", f"{self.schema}.").encode()
        return known

    def connect(self) -> Connection:
        """The open connection, which has checked that the spool exists and has this format."""
        if self._connection is None or self._connection.closed:
            self._connection = self._reconnect()
        if not self._checked:
            self._check(self._connection)
            self._checked = True
        return self._connection

    def check_again(self) -> None:
        """Read the format again at the next `connect`: another process may have changed it."""
        self._checked = False

    def connect_unchecked(self) -> Connection:
        """The open connection; the spool may not exist yet."""
        if self._connection is None or self._connection.closed:
            self._connection = self._reconnect()
        return self._connection

    def _reconnect(self) -> Connection:
        """Open the connection. After a failure, the next try comes after a growing pause, with jitter.

        Until then the reason is that of the failure: it may be the last message of a process that ends in between.
        """
        if self._last_failure is not None and self._monotonic() < self._next_try:
            finding, hint = self._last_failure
            raise SpoolStalled(f"the spool {self.address} cannot be opened: {finding}", hint=hint)
        try:
            connection = psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.read_only = self._read_only or None
            self._prepared.allow(connection)
        except psycopg.Error as failed:
            self._back_off()
            finding, hint = self._last_failure = connection_failure(str(failed), "--spool")
            raise SpoolStalled(f"the spool {self.address} cannot be opened: {finding}", hint=hint) from failed
        self._pause_seconds = self._next_try = 0.0
        register_arrays(connection)
        self.opened += 1
        return connection

    def _back_off(self) -> None:
        self._pause_seconds = min(MAX_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * self._pause_seconds))
        self._next_try = self._monotonic() + self._pause_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def _check(self, connection: Connection) -> None:
        with self.mapped_errors():
            if not self.is_created():
                raise SpoolUnusable(
                    f"spool not found: {self.address}",
                    hint="create it with `hookline spool init`, or name another with --spool or HOOKLINE_SPOOL",
                )
            found = connection.execute(self.sql(_READ_META)).fetchone()
        if found is None or found[1] != SPOOL_APPLICATION:
            raise SpoolUnusable(f"the schema {self.schema} of {self.address} is not a spool of hookline")
        if found[0] > self.newest_format:
            raise SpoolUnusable(
                f"the spool {self.address} was written by a newer hookline (format {found[0]}; this version reads "
                f"{self.newest_format})",
                hint="install that version, or give this one a spool of its own",
            )
        if found[0] < self._oldest_format:
            raise SpoolUnusable(
                f"the spool {self.address} was written by an older hookline (format {found[0]}; this version reads "
                f"{self._oldest_format} and {self.newest_format})",
                hint="`hookline spool migrate` of this version changes its format",
            )
        self.format: int = found[0]
        self.slots: int = found[2]
        self.lease_seconds: float = found[3]

    def is_created(self) -> bool:
        """Whether the spool's tables exist."""
        with self.mapped_errors():
            found = self.connect_unchecked().execute(_FIND, (f"{self.schema}.meta",)).fetchone()
        return bool(found and found[0])

    def query(
        self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), *, binary: bool = False
    ) -> list[SpoolRow]:
        """Run one statement in a transaction of its own, and return its rows. Payloads are better read as `binary`:
        their text is twice as long."""
        connection = self.connect()
        with self.mapped_errors():
            cursor = connection.cursor(binary=binary).execute(self.sql(statement), parameters)
            return cursor.fetchall() if cursor.description else []

    def run(
        self,
        *steps: Step,
        guards: Sequence[Step] = (),
        check: Callable[[Sequence[list[SpoolRow]]], None] = lambda _: None,
        after: Sequence[Step] = (),
    ) -> list[list[SpoolRow]]:
        """Run statements in one transaction, in one message to the server, and return the rows of each.

        Args:
            steps: The statements. All of them run, so none depends on the rows of another one.
            guards: Statements that run before, in a message of their own.
            check: Receives the rows of the guards. If it raises an error, nothing is changed.
            after: Statements of a second transaction in the same message, whose rows follow. Large results belong
                here: while a stopped client does not read them, no limit of time ends the transaction, so the first
                one would keep its locks.

        Raises Conflict if a row exists already.
        """
        connection = self.connect()
        all_steps = [*steps, _COMMIT, *((self._begin, *after, _COMMIT) if after else ())]
        with self.mapped_errors():
            try:
                if guards:
                    check(self._pipelined(connection, [self._begin, *guards])[1:])
                    rows = self._pipelined(connection, all_steps)
                else:
                    rows = self._pipelined(connection, [self._begin, *all_steps])[1:]
                return rows[: len(steps)] + (rows[len(steps) + 2 : -1] if after else [])
            except BaseException as error:
                roll_back(connection)
                if isinstance(error, psycopg.errors.UniqueViolation):
                    raise Conflict(error.diag.table_name or "") from error
                raise

    def _pipelined(self, connection: Connection, steps: Sequence[Step]) -> list[list[SpoolRow]]:
        return run_pipelined(connection, [(self.sql(one), values) for one, values in steps])

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit the whole block or nothing of it. Statements in it go through `sql`."""
        connection = self.connect()
        with self.mapped_errors(), connection.transaction():
            yield connection

    @property
    def has_transaction_timeout(self) -> bool:
        """Whether the server knows the setting transaction_timeout."""
        return self.connect().info.server_version >= _TRANSACTION_TIMEOUT_VERSION

    @contextmanager
    def limited_transaction(self) -> Iterator[Connection]:
        """A transaction that ends within a third of a lease, whether its client works, waits or is stopped.

        Each transaction that locks rows which another process waits for is one: those that settle and that ingest.
        """
        with self.transaction() as connection:
            milliseconds = str(max(1, round(1000 * self.lease_seconds * TRANSACTION_PART_OF_LEASE)))
            limits = _LIMITS_FROM_17 if self.has_transaction_timeout else _LIMITS
            connection.execute(limits, {"limit": milliseconds})
            yield connection

    @contextmanager
    def mapped_errors(self) -> Iterator[None]:
        """Map an error. A connection that may be broken is closed."""
        try:
            yield
        except psycopg.Error as error:
            raise self._mapped(error) from error

    def _mapped(self, error: psycopg.Error) -> SpoolUnusable:
        code, detail = error.sqlstate, in_one_line(error.diag.message_primary or str(error))
        if self._connection is not None and (self._connection.closed or is_connection_lost(code)):
            self.close()
            return SpoolStalled(
                f"the connection to the spool {self.address} was lost ({detail})",
                hint="it continues when the server answers again",
            )
        if self._prepared.caused(self._connection, code):
            self.close()
            return SpoolStalled(f"the server ended a statement on the spool {self.address}: {detail}")
        if code is not None and code.startswith(_TEMPORARY):
            return SpoolStalled(f"the server ended a statement on the spool {self.address}: {detail}")
        if code == "42501":
            return SpoolUnusable(
                f"this role may not use the spool {self.address}: {detail}",
                hint="docs/how-to/several-machines.md has the GRANT statements for each role",
            )
        if code == "25006":
            self.close()  # the next connection may find the primary
            return SpoolStalled(
                f"the spool {self.address} is read-only: {detail}",
                hint="the server is a standby; name the primary, or several hosts with "
                "?target_session_attrs=read-write",
            )
        if code is not None and code.startswith(_DAMAGE):
            return SpoolUnusable(f"the spool {self.address} is damaged: {detail}", hint="restore it from a backup")
        return SpoolUnusable(f"the spool {self.address} cannot be used: {detail} (SQLSTATE {code})")

    def close(self) -> None:
        """Close the connection. The next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()
