"""What a connection says while the server cannot be reached."""

from __future__ import annotations

import pytest

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.state.postgres_address import parse_postgres
from postgres_server import shared_server


def test_the_reason_remains_between_two_tries() -> None:
    """A call between two tries fails for the same reason, and does not announce a try that may never come."""
    absent = SpoolConnection(parse_postgres(shared_server().url("absent"), "spool"), monotonic=lambda: 1.0)
    messages = []
    for _ in range(2):
        with pytest.raises(SpoolStalled, match="the database does not exist") as stalled:
            absent.connect()
        messages.append((stalled.value.message, stalled.value.hint))
    assert messages[0] == messages[1]


def test_a_failure_is_forgotten_with_the_next_connection() -> None:
    database, now = shared_server().new_database(), [1.0]
    store = SharedStore(shared_server().url(database))
    store.create()
    connection = SpoolConnection(parse_postgres(shared_server().url("absent"), "spool"), monotonic=lambda: now[0])
    with pytest.raises(SpoolStalled):
        connection.connect()
    now[0] += 60.0
    connection._conninfo = store.connection()._conninfo
    connection.connect()
    connection.close()
