"""Statements on a shared spool are prepared, and a call is repeated when the server has lost one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.prepared_statements import RUNS_BEFORE_PREPARING
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from postgres_server import shared_server

QUERY = "SELECT * FROM spool.probe"
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture
def connection() -> Iterator[SpoolConnection]:
    """A connection to a spool that has one more table."""
    store = SharedStore(shared_server().url(shared_server().new_database()))
    store.create()
    made = store.connection()
    made.query("CREATE TABLE spool.probe AS SELECT 1 AS one")
    yield made
    made.close()


def prepare(connection: SpoolConnection) -> None:
    for _ in range(RUNS_BEFORE_PREPARING + 1):
        assert [(1,)] == connection.query(QUERY)
    assert connection.query(PREPARED)[0][0] > 0


def test_a_repeated_statement_is_prepared(connection: SpoolConnection) -> None:
    prepare(connection)


def test_a_statement_that_the_session_does_not_know_is_not_prepared_again(connection: SpoolConnection) -> None:
    """A pooler that gives clients the process number of a session is found by its first error."""
    prepare(connection)
    connection.connect().pgconn.exec_(b"DEALLOCATE ALL")  # unnoticed by the client, as behind a pooler
    with pytest.raises(SpoolStalled, match="prepared statement"):
        connection.query(QUERY)
    for _ in range(RUNS_BEFORE_PREPARING + 1):
        assert [(1,)] == connection.query(QUERY)
    assert [(0,)] == connection.query(PREPARED)


def test_a_plan_that_a_migration_made_stale_is_made_again(connection: SpoolConnection) -> None:
    prepare(connection)
    with psycopg.connect(connection._conninfo) as migration:
        migration.execute(connection.sql("ALTER TABLE spool.probe ADD COLUMN two integer DEFAULT 2"))
    with pytest.raises(SpoolStalled, match="cached plan"):
        connection.query(QUERY)
    for _ in range(RUNS_BEFORE_PREPARING + 1):
        assert [(1, 2)] == connection.query(QUERY)
    assert connection.query(PREPARED)[0][0] > 0


def test_an_unsupported_statement_is_no_stale_plan(connection: SpoolConnection) -> None:
    """Without a prepared statement the same code is the fault of the statement."""
    assert not connection._prepared.caused(None, "0A000")
    with psycopg.connect(connection._conninfo, prepare_threshold=None) as other:
        assert not connection._prepared.caused(other, "0A000")
