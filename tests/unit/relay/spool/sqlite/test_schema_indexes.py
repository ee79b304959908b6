"""An index answers the statements of housekeeping, so that a long backlog costs no more time."""

from __future__ import annotations

import sqlite3

import pytest

from hookline.relay.spool.sqlite import dead_letter_query, dequeue, embedded, settle, stats
from hookline.relay.spool.sqlite.schema import SPOOL_TABLES

PLANS = {
    "expire": (settle.OLDEST, "delivery_age (webhook=? AND since<?)"),
    "dead_letter": (settle.FIRST, "delivery_pending (webhook=?)"),
    "clean_up of dead letters": (settle._OLD_LETTERS, "delivery_dead (webhook=? AND settled<?)"),
    "clean_up of lines": (settle._REMOVE_OLD_LINES, "rejected_at (at<?)"),
    "the webhooks with pending deliveries": (dequeue.WITH_PENDING, "delivery_age (webhook=?)"),
    "the next new deliveries in order": (dequeue.NEW_ORDERED, "delivery_order (webhook=? AND order_key=? AND seq<?)"),
    "messages with a pending delivery": (dequeue.PENDING_MESSAGES, "delivery_order (webhook=? AND order_key=?)"),
    "the next delivery of a message": (settle._SUCCESSORS, "delivery_order (webhook=? AND order_key=?)"),
    "the delivery that a traced one waits for": (
        embedded._PREDECESSOR,
        "delivery_order (webhook=? AND order_key=? AND seq<?)",
    ),
    "the oldest delivery": (stats._OLDEST, "delivery_age (webhook=?)"),
    "the number of rejected lines": (dead_letter_query.COUNT_DEAD_LINES, "rejected_at"),
}


@pytest.mark.parametrize("name", PLANS)
def test_an_index_answers(name: str) -> None:
    """In the order of the result, without a sort."""
    statement, index = PLANS[name]
    connection = sqlite3.connect(":memory:")
    connection.executescript(SPOOL_TABLES)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", [1] * statement.count("?")).fetchall()
    connection.close()
    steps = [row[3] for row in rows]
    assert any(step.endswith(f"INDEX {index}") for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps
