"""A transaction that another process waits for ends within a third of a lease, whatever its client does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from postgres_server import shared_server

LEASE_SECONDS = 0.6
LOCK = "SELECT slot FROM spool.slot WHERE slot = 1 FOR SHARE"


@pytest.fixture
def database() -> str:
    return shared_server().new_database()


@pytest.fixture
def connection(database: str) -> Iterator[SpoolConnection]:
    store = SharedStore(shared_server().url(database))
    store.create(lease_seconds=LEASE_SECONDS)
    connection = store.connection()
    yield connection
    connection.close()


def take_lock(database: str) -> None:
    """Lock the slot as a takeover does. Waits without a limit."""
    with psycopg.connect(shared_server().url(database)) as taker:
        taker.execute("SELECT slot FROM hookline_spool.slot WHERE slot = 1 FOR UPDATE")


def test_a_stopped_client_loses_its_locks(database: str, connection: SpoolConnection) -> None:
    """A client that does nothing between two statements does not keep the lock of a slot; it raises SpoolStalled."""

    def stop_after_the_lock() -> None:
        with connection.limited_transaction() as transaction:
            transaction.execute(connection.sql(LOCK))
            take_lock(database)  # returns because the server has ended the transaction above
            transaction.execute(b"SELECT 1")

    with pytest.raises(SpoolStalled):
        stop_after_the_lock()
    assert [(1,)] == connection.query("SELECT 1")


def test_a_long_statement_is_ended(connection: SpoolConnection) -> None:
    """A statement that works or waits for too long is ended by the server."""
    with pytest.raises(SpoolStalled), connection.limited_transaction() as transaction:
        transaction.execute(b"SELECT pg_sleep(60)")
    assert [(1,)] == connection.query("SELECT 1")


def test_many_short_statements_are_ended(connection: SpoolConnection) -> None:
    """PostgreSQL 17 and later also limit the whole transaction."""

    def repeat() -> None:
        with connection.limited_transaction() as transaction:
            begun = time.monotonic()
            while time.monotonic() < begun + 60:
                transaction.execute(b"SELECT pg_sleep(0.02)")

    with pytest.raises(SpoolStalled):
        repeat()


def test_the_limits_end_with_the_transaction(connection: SpoolConnection) -> None:
    """A pooler may give the session to another client: the settings do not remain."""
    with connection.limited_transaction() as transaction:
        assert ("198ms",) == transaction.execute(b"SHOW statement_timeout").fetchone()
        assert ("198ms",) == transaction.execute(b"SHOW idle_in_transaction_session_timeout").fetchone()
    assert [("0",)] == connection.query("SHOW statement_timeout")
    assert [("0",)] == connection.query("SHOW idle_in_transaction_session_timeout")


def test_large_results_are_read_without_locks(connection: SpoolConnection) -> None:
    """The statements after a transaction hold none of its locks, because a client that does not read them is not
    ended: no limit of time applies while the server writes to it."""
    count = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode = 'RowShareLock'"
    locked, [(during,)], [(after,)] = connection.run((LOCK, ()), (count, ()), after=[(count, ())])
    assert [(1,)] == locked
    assert during > 0
    assert 0 == after
