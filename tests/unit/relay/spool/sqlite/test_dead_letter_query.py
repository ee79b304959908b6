"""A query finds dead letters without reading them: a spool can hold a million, and a filter can match none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hookline.model import Address
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.sqlite.database import create_if_missing, open_existing
from hookline.relay.spool.sqlite.dead_letter_query import DeadLetterQuery
from hookline.relay.spool.sqlite.webhook_status import number_of

FILTERS = {
    "all": Filter(),
    "HTTP status": Filter(http=422),
    "channel": Filter(channel="sms"),
    "feedback status": Filter(status="bounce"),
    "reason": Filter(reason="expired"),
    "time": Filter(since=1.0, until=2.0),
    "several": Filter(http=422, channel="sms", status="bounce", reason="http", since=1.0),
}


def columns_read(connection: sqlite3.Connection, statement: str) -> int:
    """The number of columns that SQLite reads from the table instead of an index, by the statement's program
    (https://www.sqlite.org/opcode.html)."""
    (table,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'delivery'").fetchone()
    steps = connection.execute(f"EXPLAIN {statement.replace('-Inf', '-9e999')}").fetchall()
    cursors = {step[2] for step in steps if step[1] == "OpenRead" and step[3] == table}
    return sum(1 for step in steps if step[1] == "Column" and step[2] in cursors)


@pytest.mark.parametrize("chosen", FILTERS.values(), ids=FILTERS)
def test_no_letter_is_read_to_choose_others(tmp_path: Path, chosen: Filter) -> None:
    """The index of dead letters answers counts, the newest letters and every page."""
    create_if_missing(tmp_path / "spool", since="now")
    with closing(open_existing(tmp_path / "spool")) as connection:
        webhook = number_of(connection, Address("acme", "prod"))
        connection.execute(
            "INSERT INTO delivery (id, webhook, state, since, settled, request_id, channel, status, source, line,"
            " http, reason) VALUES (x'01', ?, 2, 1, 1, 'r', 'sms', 'bounce', 'events', 1, 422, 'http, expired')",
            (webhook,),
        )
        statements: list[str] = []
        connection.set_trace_callback(statements.append)
        which = DeadLetterQuery(connection, chosen)
        which.count_deliveries()
        which.newest_deliveries(webhook, 20)
        list(which.delivery_pages(webhook, 1000))
        connection.set_trace_callback(None)
        asked = [statement for statement in statements if "FROM delivery" in statement]
        assert 4 == len(asked)
        assert [0] * 4 == [columns_read(connection, statement) for statement in asked]
