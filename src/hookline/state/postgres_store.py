"""States in a PostgreSQL database: the only module that knows psycopg.

A commit holds one advisory lock and the state's row until its transaction ends, so a process that dies leaves
nothing behind: the server undoes what it began and lets go. Transactions are begun and ended by statements of ours:
only then do we know whether it was COMMIT whose answer got lost.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hookline.errors import HooklineError, Stale, StateUnusable, WrongUse
from hookline.model import Address
from hookline.state import postgres_sql as sql
from hookline.state.history_chain import beginning, seal
from hookline.state.postgres_errors import (
    Holder,
    PostgresAddress,
    from_postgres,
    is_lost,
    locked,
    not_applied,
    not_connected,
    postgres_damaged,
    postgres_earlier_build,
    postgres_newer,
    refuse_stale_postgres,
    unknown,
)
from hookline.state.rows import HistoryRow, history_row, json_text, read_history, read_webhooks
from hookline.state.store import EMPTY, Entry, Record, Snapshot

PostgresConnection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
PostgresWrite: TypeAlias = Mapping[Address, Mapping[str, Any] | None]

# How long to look, after COMMIT went unanswered, for a server that answers: a restart takes seconds.
CONNECTION_PATIENCE = timedelta(seconds=15)
_PAUSE = 0.25

# What libpq gets unless the address or libpq's own environment says otherwise. A peer that fell silent is given up
# after half a minute: libpq's own default is to wait for hours.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "30000",
}


class PostgresStore:
    """A StateStore. `lock_timeout` is how long `commit` waits while another apply holds the state.

    `new_lineage` is asked by the commit that makes the state. `patience` is for finding out what became of a COMMIT.
    Raises WrongUse for an address that libpq cannot read.
    """

    def __init__(
        self,
        address: PostgresAddress,
        *,
        new_lineage: Callable[[], str],
        lock_timeout: timedelta = timedelta(0),
        patience: timedelta = CONNECTION_PATIENCE,
    ) -> None:
        self._where = address
        self._conninfo = _conninfo(address)
        self._new_lineage = new_lineage
        self._lock_timeout = lock_timeout
        self._patience = patience
        self._watching = threading.Lock()
        self._watched: PostgresConnection | None = None
        self._forget: Callable[[], object] | None = None

    def read(self) -> Snapshot:
        with self._translated(), closing(self._connect()) as connection, _moment(connection):
            found = self._version(connection)
            if found is None:
                return EMPTY
            rows = connection.execute(sql.READ_WEBHOOKS, (self._where.name,)).fetchall()
            return Snapshot(lineage=found[0], serial=found[1], webhooks=read_webhooks(rows))

    def version(self) -> tuple[str | None, int]:
        """Over one connection that is kept: a relay asks every second, and would fill the server's log."""
        with self._translated(), self._watching:
            kept = self._watched
            if kept is not None and not kept.closed:
                try:
                    return self._ask(kept)
                except psycopg.OperationalError:
                    if not kept.closed:
                        raise
            if self._forget is not None:
                self._forget()
            self._watched = self._connect()
            self._forget = weakref.finalize(self, self._watched.close)
            return self._ask(self._watched)

    def history(self) -> tuple[Record, ...]:
        with self._translated(), closing(self._connect()) as connection, _moment(connection):
            if self._version(connection) is None:
                return ()
            return read_history(_history(connection, sql.READ_HISTORY, self._where.name))

    def commit(self, base: Snapshot, written: PostgresWrite, entry: Entry) -> Snapshot:
        with self._translated(), closing(self._connect()) as connection:
            try:
                self._begin(connection, self._lock_timeout, entry.who)
                snapshot, record = self._write(connection, base, written, entry)
            except psycopg.errors.LockNotAvailable as busy:
                raise self._busy(base) from busy
            try:
                connection.execute("COMMIT")
            except psycopg.Error as failed:
                if not (connection.closed or is_lost(failed.sqlstate)):
                    raise
                lost = failed
            else:
                return snapshot
        self._find_out(record, lost)
        return snapshot

    def _write(
        self, connection: PostgresConnection, base: Snapshot, written: PostgresWrite, entry: Entry
    ) -> tuple[Snapshot, Record]:
        name = self._where.name
        self._have_tables(connection)
        row = connection.execute(sql.HOLD_STATE, (name,)).fetchone()
        found = None if row is None else (str(row[0]), int(row[1]))
        last = _history(connection, sql.READ_LAST, name)
        if found != (base.lineage, base.serial):
            refuse_stale_postgres(self._where, base, found, read_history(last)[-1].entry if last else None)
        lineage = found[0] if found else self._new_lineage()
        snapshot = base.after(lineage, written)
        previous = last[-1][-1] if last else beginning(lineage)
        record = Record(snapshot.serial, entry, seal(previous, snapshot.serial, entry))
        if found is None:
            connection.execute(sql.INSERT_STATE, (name, lineage, snapshot.serial))
        else:
            connection.execute(sql.UPDATE_STATE, (snapshot.serial, name))
        _write_webhooks(connection, name, snapshot.serial, written)
        connection.execute(sql.INSERT_HISTORY, (name, *history_row(record)))
        return snapshot, record

    def _begin(self, connection: PostgresConnection, wait: timedelta, who: str) -> None:
        """Open the transaction that holds the state; raises StateUnusable, naming who holds it, after `wait`."""
        # To PostgreSQL 0 is to wait for ever.
        milliseconds = max(1, int(wait / timedelta(milliseconds=1)))
        connection.execute(sql.WRITING)
        connection.execute(sql.SETTINGS, (str(milliseconds), f"hookline ({who})"))
        connection.execute(sql.LOCK, (sql.state_key(self._where.name),))

    def _have_tables(self, connection: PostgresConnection) -> None:
        if self._has_tables(connection):
            return
        connection.execute(sql.LOCK, (sql.TABLES_KEY,))
        if self._has_tables(connection):
            return
        if connection.execute(sql.SEEK_SCHEMA).fetchone() is None:
            connection.execute(sql.CREATE_SCHEMA)
        connection.execute(sql.CREATE_TABLES)

    def _has_tables(self, connection: PostgresConnection) -> bool:
        """Whether they are there, in a format that is known. Raises StateUnusable when only some are."""
        found = {row[0] for row in connection.execute(sql.SEEK_TABLES, (list(sql.POSTGRES_TABLES),))}
        if not found:
            return False
        if missing := sorted(set(sql.POSTGRES_TABLES) - found):
            raise postgres_damaged(
                self._where, f"there is no table {', '.join(f'hookline.{name}' for name in missing)}"
            )
        row = connection.execute(sql.READ_FORMAT).fetchone()
        if row is None:
            raise postgres_damaged(self._where, "it does not say in which format it is")
        if row[1] != sql.APPLICATION or row[0] < sql.POSTGRES_FORMAT:
            raise postgres_earlier_build(self._where)
        if row[0] > sql.POSTGRES_FORMAT:
            raise postgres_newer(self._where, row[0], sql.POSTGRES_FORMAT)
        return True

    def _version(self, connection: PostgresConnection) -> tuple[str, int] | None:
        if not self._has_tables(connection):
            return None
        row = connection.execute(sql.READ_STATE, (self._where.name,)).fetchone()
        return None if row is None else (row[0], row[1])

    def _ask(self, connection: PostgresConnection) -> tuple[str | None, int]:
        with _moment(connection):
            return self._version(connection) or (EMPTY.lineage, EMPTY.serial)

    def _find_out(self, record: Record, lost: psycopg.Error) -> None:
        """Return when `record` was committed; raise what is known otherwise.

        The state's lock is free only when the old transaction is over: so under it the answer is final.
        """
        end = time.monotonic() + self._patience.total_seconds()
        try:
            with closing(self._connect_until(end)) as connection:
                self._begin(connection, timedelta(seconds=max(1.0, end - time.monotonic())), record.entry.who)
                row = None
                if self._has_tables(connection):
                    row = connection.execute(sql.READ_HASH, (self._where.name, record.serial)).fetchone()
        except (psycopg.Error, StateUnusable) as silent:
            raise unknown(self._where, record, str(silent)) from silent
        if row is None or row[0] != record.hash:
            raise not_applied(self._where, record) from lost

    def _connect_until(self, end: float) -> PostgresConnection:
        while True:
            try:
                return self._connect()
            except StateUnusable:
                if time.monotonic() + _PAUSE > end:
                    raise
            time.sleep(_PAUSE)

    def _connect(self) -> PostgresConnection:
        try:
            # No prepared statements: a pooler may hand every transaction to another session.
            return psycopg.connect(self._conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as failed:
            raise not_connected(self._where, str(failed)) from failed

    def _busy(self, base: Snapshot) -> HooklineError:
        """Why the state was not to be had: it has moved by now, or somebody is about to move it.

        Asked in this order: who held it while it had not moved yet is the one who moves it, and no other loser.
        """
        keys = [sql.state_key(self._where.name), sql.TABLES_KEY]
        holders: list[Holder] = []
        try:
            with closing(self._connect()) as connection:
                holders = [Holder(*row) for row in connection.execute(sql.HOLDERS, (keys,))]
                found = self._version(connection)
                if found not in (None, (base.lineage, base.serial)):
                    last = read_history(_history(connection, sql.READ_LAST, self._where.name))
                    refuse_stale_postgres(self._where, base, found, last[-1].entry if last else None)
        except Stale as moved:
            return moved
        except (psycopg.Error, StateUnusable, ValueError):
            pass  # What cannot be learned, the message does without.
        return locked(self._where, holders)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise from_postgres(self._where, error.sqlstate, error.diag.message_primary or str(error)) from error
        except ValueError as error:
            raise postgres_damaged(self._where, str(error)) from error


@contextmanager
def _moment(connection: PostgresConnection) -> Iterator[None]:
    """All that is read within is of one moment, and nothing can be written."""
    connection.execute(sql.READING)
    yield
    connection.execute("COMMIT")


def _history(connection: PostgresConnection, statement: str, name: str) -> Sequence[HistoryRow]:
    rows: Sequence[Any] = connection.execute(statement, (name,)).fetchall()
    return rows


def _write_webhooks(connection: PostgresConnection, name: str, serial: int, written: PostgresWrite) -> None:
    gone = [address for address, document in written.items() if document is None]
    kept = {address: json_text(document) for address, document in written.items() if document is not None}
    if gone:
        columns = ([address.organization for address in gone], [address.sandbox for address in gone])
        connection.execute(sql.DELETE_WEBHOOKS, (*columns, name))
    if kept:
        columns = ([address.organization for address in kept], [address.sandbox for address in kept])
        connection.execute(sql.WRITE_WEBHOOKS, (name, serial, *columns, list(kept.values())))


def _conninfo(address: PostgresAddress) -> str:
    """What goes to libpq. Raises WrongUse, without libpq's words: they may quote a password."""
    surroundings = {option.keyword.decode() for option in pq.Conninfo.get_defaults() if option.val is not None}
    try:
        known = surroundings | conninfo_to_dict(address.conninfo).keys()
        defaults = {key: value for key, value in _DEFAULTS.items() if key not in known}
        return make_conninfo(
            address.conninfo, **defaults, fallback_application_name="hookline", client_encoding="UTF8"
        )
    except psycopg.Error:
        raise WrongUse(
            f"--state: libpq cannot read the address {address}",
            hint="check its port and the names after the question mark: "
            "https://www.postgresql.org/docs/current/libpq-connect.html",
        ) from None
