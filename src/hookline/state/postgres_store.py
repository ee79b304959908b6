"""States in a PostgreSQL database. This is the only module that uses psycopg.

A commit holds one advisory lock and the state's row until its transaction ends. If the process dies, the server rolls
back the transaction and releases the lock. Explicit BEGIN and COMMIT statements show whether a lost answer was the
answer to COMMIT.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hookline.canonical import canonical_text
from hookline.errors import HooklineError, Stale, StateUnusable, WrongUse
from hookline.model import Address, Declared
from hookline.state import postgres_errors as errors
from hookline.state import postgres_sql as sql
from hookline.state.history_chain import next_record
from hookline.state.postgres_address import LIBPQ_DEFAULTS, PostgresAddress, is_connection_lost
from hookline.state.postgres_errors import LockHolder
from hookline.state.rows import HistoryRow, history_row, move_row, read_history, read_snapshot
from hookline.state.store import EMPTY, NONE_DECLARED, Confirm, DocumentWrites, HistoryEntry, HistoryRecord, Snapshot
from hookline.state.store_errors import earlier_build_error, newer_format_error, raise_if_stale

PostgresConnection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

# How long to try to reconnect after COMMIT got no answer. The restart of a server takes seconds.
CONNECTION_PATIENCE = timedelta(seconds=15)
_RECONNECT_PAUSE_SECONDS = 0.25


@dataclass(eq=False)
class PostgresStore:
    """A StateStore in PostgreSQL. The first commit calls `new_lineage` for the new state.

    `commit` waits for `lock_timeout` while another apply holds the state. For `patience`, the store tries to find out
    the result of a COMMIT that got no answer. Raises WrongUse if libpq cannot read the address.
    """

    where: PostgresAddress
    _: KW_ONLY
    new_lineage: Callable[[], str]
    lock_timeout: timedelta = timedelta(0)
    patience: timedelta = CONNECTION_PATIENCE

    def __post_init__(self) -> None:
        self._conninfo = libpq_conninfo(self.where, "--state")
        self._version_lock = threading.Lock()
        self._version_connection: PostgresConnection | None = None
        self._close_version_connection: Callable[[], object] | None = None

    def read(self, declared: Mapping[Address, Declared] = NONE_DECLARED) -> Snapshot:
        with self._mapped_errors(), closing(self._connect()) as connection, _read_transaction(connection):
            if (found := self._read_version(connection)) is None:
                return EMPTY
            name = (self.where.name,)
            rows = connection.execute(sql.READ_WEBHOOKS, name).fetchall()
            policy: Any = connection.execute(sql.READ_POLICY, name).fetchone()
            moves: Any = connection.execute(sql.READ_MOVES, name).fetchall()
            return read_snapshot(found, rows, policy, moves, declared)

    def version(self) -> tuple[str | None, int]:
        """Uses one connection that stays open, because new connections every second would fill the server's log."""
        with self._mapped_errors(), self._version_lock:
            connection = self._version_connection
            if connection is not None and not connection.closed:
                try:
                    return self._read_version_or_empty(connection)
                except psycopg.OperationalError:
                    if not connection.closed:
                        raise
            if self._close_version_connection is not None:
                self._close_version_connection()
            self._version_connection = connection = self._connect()
            self._close_version_connection = weakref.finalize(self, connection.close)
            return self._read_version_or_empty(connection)

    def history(self) -> tuple[HistoryRecord, ...]:
        with self._mapped_errors(), closing(self._connect()) as connection, _read_transaction(connection):
            if self._read_version(connection) is None:
                return ()
            return read_history(_history_rows(connection, sql.READ_HISTORY, self.where.name))

    def now(self) -> datetime:
        with self._mapped_errors(), closing(self._connect()) as connection:
            return _database_time(connection)

    def commit(
        self, base: Snapshot, written: DocumentWrites, entry: HistoryEntry, confirm: Confirm | None = None
    ) -> Snapshot:
        with self._mapped_errors(), closing(self._connect()) as connection:
            try:
                self._begin_write(connection, self.lock_timeout, entry.who)
                snapshot, record = self._write(connection, base, written, entry, confirm)
            except psycopg.Error as ended:
                if (busy := self._lock_error(base, ended.sqlstate)) is None:
                    raise
                raise busy from ended
            try:
                connection.execute("COMMIT")
            except psycopg.Error as failed:
                if not (connection.closed or is_connection_lost(failed.sqlstate)):
                    raise
                lost = failed
            else:
                return snapshot
        self._check_committed(record, lost)
        return snapshot

    def _write(
        self,
        connection: PostgresConnection,
        base: Snapshot,
        written: DocumentWrites,
        entry: HistoryEntry,
        confirm: Confirm | None,
    ) -> tuple[Snapshot, HistoryRecord]:
        """Write the rows of a `commit`, in the transaction that holds the lock. Raises Stale like it."""
        name = self.where.name
        self._ensure_tables(connection)
        found: Any = connection.execute(sql.LOCK_STATE_ROW, (name,)).fetchone()
        last = _history_rows(connection, sql.READ_LAST_RECORD, name)
        if found != (base.lineage, base.serial):
            raise_if_stale(self.where, base, found, read_history(last)[-1].entry if last else None)
        if confirm is not None:
            confirm(_database_time(connection))
        lineage = found[0] if found else self.new_lineage()
        snapshot = base.after(lineage, written, entry)
        record = next_record(last[-1][-1] if last else None, snapshot, entry)
        if found is None:
            connection.execute(sql.INSERT_STATE, (name, lineage, snapshot.serial))
        else:
            connection.execute(sql.UPDATE_STATE, (snapshot.serial, name))
        _write_webhooks(connection, name, snapshot.serial, written)
        connection.execute(sql.INSERT_HISTORY, (name, *history_row(record)))
        for move in entry.moves(snapshot.serial):
            connection.execute(sql.INSERT_MOVE, (name, *move_row(move)))
        if entry.policy is not None:
            try:
                connection.execute(sql.DELETE_POLICY, (name,))
                if entry.policy.text is not None:
                    connection.execute(sql.INSERT_POLICY, (name, entry.policy.text, snapshot.serial))
            except psycopg.errors.InsufficientPrivilege as denied:
                raise errors.policy_denied_error(self.where) from denied
        return snapshot, record

    def _begin_write(self, connection: PostgresConnection, wait: timedelta, who: str) -> None:
        """Begin the transaction that holds the lock. Raises LockNotAvailable after `wait`."""
        # A lock_timeout of 0 would wait for ever.
        milliseconds = max(1, int(wait / timedelta(milliseconds=1)))
        connection.execute(sql.BEGIN_WRITE)
        connection.execute(sql.TRANSACTION_SETTINGS, (str(milliseconds), f"hookline ({who})"))
        connection.execute(sql.ACQUIRE_LOCK, (sql.state_key(self.where.name),))

    def _ensure_tables(self, connection: PostgresConnection) -> None:
        if self._has_tables(connection):
            return
        connection.execute(sql.ACQUIRE_LOCK, (sql.TABLES_KEY,))
        if not self._has_tables(connection):
            if connection.execute(sql.FIND_SCHEMA).fetchone() is None:
                connection.execute(sql.CREATE_SCHEMA)
            connection.execute(sql.CREATE_TABLES)

    def _has_tables(self, connection: PostgresConnection) -> bool:
        """Whether the tables exist. Raises StateUnusable if some are missing or their format is unknown."""
        found = {row[0] for row in connection.execute(sql.FIND_TABLES, (list(sql.POSTGRES_TABLES),))}
        if not found:
            return False
        if missing := sorted(set(sql.POSTGRES_TABLES) - found):
            names = ", ".join(f"hookline.{name}" for name in missing)
            raise errors.postgres_damaged_error(self.where, f"missing tables: {names}")
        row = connection.execute(sql.READ_FORMAT).fetchone()
        if row is None:
            raise errors.postgres_damaged_error(self.where, "its format is missing")
        if row[1] != sql.APPLICATION or row[0] < sql.POSTGRES_FORMAT:
            move = "move its tables away with ALTER SCHEMA hookline RENAME TO hookline_old"
            raise earlier_build_error(self.where, move)
        if row[0] > sql.POSTGRES_FORMAT:
            raise newer_format_error(self.where, row[0], sql.POSTGRES_FORMAT)
        return True

    def _read_version(self, connection: PostgresConnection) -> tuple[str, int] | None:
        if not self._has_tables(connection):
            return None
        row = connection.execute(sql.READ_STATE, (self.where.name,)).fetchone()
        return None if row is None else (row[0], row[1])

    def _read_version_or_empty(self, connection: PostgresConnection) -> tuple[str | None, int]:
        with _read_transaction(connection):
            return self._read_version(connection) or (EMPTY.lineage, EMPTY.serial)

    def _check_committed(self, record: HistoryRecord, lost: psycopg.Error) -> None:
        """Raise HooklineError unless `record` was committed. The lock is free once the old transaction has ended."""
        end = time.monotonic() + self.patience.total_seconds()
        try:
            with closing(self._connect_until(end)) as connection:
                self._begin_write(connection, timedelta(seconds=max(1.0, end - time.monotonic())), record.entry.who)
                found = self._has_tables(connection)
                key = (self.where.name, record.serial)
                row = connection.execute(sql.READ_HASH, key).fetchone() if found else None
        except (psycopg.Error, StateUnusable) as failed:
            raise errors.commit_unknown_error(self.where, record, str(failed)) from failed
        if row is None or row[0] != record.hash:
            raise errors.commit_not_applied_error(self.where, record) from lost

    def _connect_until(self, end: float) -> PostgresConnection:
        while True:
            try:
                return self._connect()
            except StateUnusable:
                if time.monotonic() + _RECONNECT_PAUSE_SECONDS > end:
                    raise
            time.sleep(_RECONNECT_PAUSE_SECONDS)

    def _connect(self) -> PostgresConnection:
        try:
            # No prepared statements, because a pooler may run every transaction in another session.
            return psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as failed:
            raise errors.postgres_connection_error(self.where, str(failed)) from failed

    def _lock_error(self, base: Snapshot, code: str | None) -> HooklineError | None:
        """The reason for which the wait for the lock ended: the state has changed, or another session holds it.

        None for an error that is no end of a wait. A timeout of the role or the server that is shorter than
        --lock-timeout ends other statements as well, so it counts only while another session holds the state.
        The holders are read before the version: if the version has not changed since `base`, the holders that were
        read are about to change it.
        """
        if code not in errors.WAIT_ENDED:
            return None
        keys = [sql.state_key(self.where.name), sql.TABLES_KEY]
        holders: list[LockHolder] = []
        try:
            with closing(self._connect()) as connection:
                holders = [LockHolder(*row) for row in connection.execute(sql.LOCK_HOLDERS, (keys,))]
                found = self._read_version(connection)
                if found not in (None, (base.lineage, base.serial)):
                    last = read_history(_history_rows(connection, sql.READ_LAST_RECORD, self.where.name))
                    raise_if_stale(self.where, base, found, last[-1].entry if last else None)
        except Stale as stale:
            return stale
        except (psycopg.Error, StateUnusable, ValueError):
            pass  # The message is complete without the holders.
        if not holders and code != errors.LOCK_TIMEOUT:
            return None
        return errors.postgres_locked_error(self.where, holders, code)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            text = error.diag.message_primary or str(error)
            raise errors.postgres_state_error(self.where, error.sqlstate, text) from error
        except ValueError as error:
            raise errors.postgres_damaged_error(self.where, str(error)) from error


@contextmanager
def _read_transaction(connection: PostgresConnection) -> Iterator[None]:
    """A read-only transaction: all reads in it see the same moment."""
    connection.execute(sql.BEGIN_READ)
    yield
    connection.execute("COMMIT")


def _database_time(connection: PostgresConnection) -> datetime:
    found: Any = connection.execute(sql.READ_CLOCK).fetchone()
    at: datetime = found[0]
    return at.astimezone(UTC)


def _history_rows(connection: PostgresConnection, statement: str, name: str) -> Sequence[HistoryRow]:
    rows: Sequence[Any] = connection.execute(statement, (name,)).fetchall()
    return rows


def _write_webhooks(connection: PostgresConnection, name: str, serial: int, written: DocumentWrites) -> None:
    deleted = [address for address, document in written.items() if document is None]
    kept = [(*address, canonical_text(document)) for address, document in written.items() if document is not None]
    if deleted:
        connection.execute(sql.DELETE_WEBHOOKS, (*map(list, zip(*deleted, strict=True)), name))
    if kept:
        connection.execute(sql.WRITE_WEBHOOKS, (name, serial, *map(list, zip(*kept, strict=True))))


def libpq_conninfo(address: PostgresAddress, option: str) -> str:
    """The connection string for libpq. Raises WrongUse, which names `option`, without libpq's text, which may quote a
    password."""
    environment = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is not None}
    try:
        known = environment | conninfo_to_dict(address.conninfo).keys()
        defaults = {key: value for key, value in LIBPQ_DEFAULTS.items() if key not in known}
        return make_conninfo(
            address.conninfo, **defaults, fallback_application_name="hookline", client_encoding="UTF8"
        )
    except psycopg.Error:
        raise WrongUse(
            f"{option}: libpq cannot read the address {address}",
            hint="check its port and the names after the question mark: "
            "https://www.postgresql.org/docs/current/libpq-connect.html",
        ) from None
