"""What a process reads of the slots that it owns, and the indexes by which it reads, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import bodies, fresh, put
from hookline.model import Address
from hookline.relay.spool.postgres.relay_ports import pending_queries, settlement_writer
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import DequeueRequest, ProbeRequest, State
from postgres_server import shared_server
from query_plans import believe_empty, indexes, plan_of

Join = Callable[[], PostgresSpool]
ADDRESSES = [Address("acme", f"s{n}") for n in range(24)]


def share(first: PostgresSpool, second: PostgresSpool) -> None:
    """Give each of two processes its share of the slots."""
    target = first.leases.rebalance().target
    first.leases.release(sorted(first.leases.owned)[target:])
    second.leases.rebalance()


def test_each_process_reads_its_own_endpoints(join: Join, owner: PostgresSpool) -> None:
    """Each endpoint has one process that returns its deliveries, retries and probes. The others return nothing."""
    second = join()
    share(owner, second)
    put(owner, *(delivery(f"{one}", address=one) for one in ADDRESSES))
    assert set(ADDRESSES) == owner.pending() | second.pending()
    assert set() == owner.pending() & second.pending()
    assert second.arrivals() == second.pending()
    for spool in (owner, second):
        own = spool.pending()
        requests = [DequeueRequest(one, 0, 10, True) for one in ADDRESSES]
        assert [one in own for one in ADDRESSES] == [bool(items) for items, _ in spool.dequeue_new(requests)]
        probes = [ProbeRequest(address=one, place=0.0, other_than=None, ordered=True) for one in ADDRESSES]
        found = [spool.dequeue_probe(one, now=0.0, without=()) is not None for one in probes]
        assert [one in own for one in ADDRESSES] == found


def test_a_process_that_lost_a_slot_reads_nothing_of_it(join: Join, owner: PostgresSpool) -> None:
    """It may not know yet that it has lost the slot."""
    put(owner, delivery("a"), delivery("b"))
    a, _ = fresh(owner)
    owner.settle([settlement(a, State.PENDING, due=1.0)], now=1.0)
    remembered = owner.leases.owned
    owner.leases.leave()
    assert ([], set()) == (fresh(owner), owner.pending())
    second = join()
    owner.leases.owned = remembered
    assert ([], []) == (fresh(owner), owner.dequeue_due(ACME, now=2.0, limit=9, without=()))
    probe = ProbeRequest(address=ACME, place=0.0, other_than=None, ordered=True)
    assert None is owner.dequeue_probe(probe, now=2.0, without=())
    assert ([b"b"], [b"a"]) == (
        bodies(fresh(second)), bodies(second.dequeue_due(ACME, now=2.0, limit=9, without=())),
    )  # fmt: skip


def test_arrivals(join: Join, owner: PostgresSpool) -> None:
    """Deliveries of other processes are named once; those of a slot that this process takes over too. The process
    knows of its own ones."""
    second = join()
    put(owner, delivery("first"))
    assert ({ACME}, set()) == (owner.arrivals(), owner.arrivals())
    put(owner, delivery("own"))
    assert set() == owner.arrivals()
    put(second, delivery("a"), delivery("new", address=ADDRESSES[3]))
    assert ({ACME, ADDRESSES[3]}, set()) == (owner.arrivals(), owner.arrivals())
    put(second, delivery("b"))
    put(owner, delivery("own too"))
    assert ({ACME}, set()) == (owner.arrivals(), owner.arrivals())
    owner.leases.leave()
    second.leases.rebalance()
    assert ({ACME, ADDRESSES[3]}, set()) == (second.arrivals(), second.arrivals())
    assert [b"new"] == bodies(fresh(second, ADDRESSES[3]))


def test_a_new_connection_forgets_what_was_remembered(store: SharedStore, join: Join, owner: PostgresSpool) -> None:
    """A standby that never received the latest transactions gives their numbers to other deliveries and webhooks. A
    process that connects to it names these as arrivals, and knows which webhook has which number."""
    second = join()
    put(second, delivery("lost", address=ADDRESSES[0]), delivery("b"))
    assert {ACME, ADDRESSES[0]} == owner.arrivals()
    schema = owner._connection.schema
    shared_server().execute(
        "postgres",
        f"DELETE FROM {schema}.delivery",
        f"DELETE FROM {schema}.webhook",
        f"ALTER SEQUENCE {schema}.delivery_seq RESTART",
        f"ALTER TABLE {schema}.webhook ALTER n RESTART",
    )
    for spool in (owner, second):
        spool._connection.close()
    put(second, delivery("a"))
    assert ({ACME}, [b"a"]) == (owner.arrivals(), bodies(fresh(owner)))
    assert [ACME] == [item.address for item in fresh(owner)]


ONE = {"slot": 1, "epoch": 1, "token": uuid4(), "webhook": 1, "now": 1.0, "limit": 10, "without": [1]}
PROBE = {**ONE, "place": 10, "ordered": True, "untried": True, "other_than": None}
STATEMENTS: dict[str, tuple[str, Any, set[str]]] = {
    "NEW": (
        pending_queries.NEW,
        {"webhooks": [1], "afters": [0], "limits": [9], "ordered": [1], "slots": [1], "epochs": [1],
         "token": uuid4()},
        {"delivery_pending", "delivery_arrival", "delivery_order"},
    ),
    "DUE_NOW": (pending_queries.DUE_NOW, ONE, {"delivery_due"}),
    "ENDS": (pending_queries.ENDS, ONE, {"delivery_pending"}),
    "FIRST_DUE": (pending_queries.FIRST_DUE, (1, 0.0), {"delivery_due"}),
    "FIRST_DUES": (pending_queries.FIRST_DUES, ([1, 2],), {"delivery_due"}),
    "PROBE_AT_OR_AFTER": (
        pending_queries.PROBE_AT_OR_AFTER, PROBE, {"delivery_pending", "delivery_pkey", "delivery_order"},
    ),
    "PROBE_AT_OR_BEFORE": (
        pending_queries.PROBE_AT_OR_BEFORE, PROBE, {"delivery_pending", "delivery_pkey", "delivery_order"},
    ),
    "ARRIVED": (pending_queries.ARRIVED, ([1], [0]), {"delivery_arrival"}),
    "DIE_FIRST": (settlement_writer.DIE_FIRST, {**ONE, "reason": "x"}, {"delivery_pending", "delivery_pkey"}),
    "DIE_OLDEST": (
        settlement_writer.DIE_OLDEST, {**ONE, "reason": "x", "before": 1.0}, {"delivery_age", "delivery_pkey"},
    ),
    "MAKE_DUE": (
        settlement_writer.MAKE_DUE, {**ONE, "after": 1.0, "all": False}, {"delivery_due", "delivery_pkey"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_query_reads_by_its_own_index(name: str, store: SharedStore, owner: PostgresSpool) -> None:
    """Also when the statistics are those of an empty table, because they were collected before a backlog came."""
    believe_empty(store)
    put(owner, *(delivery(f"e{n}", address=ADDRESSES[n % 24], order_key=n) for n in range(2000)))
    statement, values, expected = STATEMENTS[name]
    assert expected == indexes(plan_of(store, owner._settings(), (statement, values)))


def buffers(plan: Mapping[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def test_an_open_snapshot_makes_no_query_slower(store: SharedStore, owner: PostgresSpool) -> None:
    """While another session holds a snapshot, the server removes nothing that was deleted since. The lanes do not
    read it again: a query reads as many pages after many deliveries as after a few."""
    reader, connection = store.connection(), store.connection()
    with reader.transaction() as held:
        held.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        held.execute(reader.sql("SELECT count(*) FROM spool.delivery"))
        cursors, reads = dict.fromkeys(ADDRESSES, 0), []
        for group in range(12):
            put(owner, *(delivery(f"{group}-{n}", address=ADDRESSES[n % 24], order_key=n) for n in range(240)))
            requests = [DequeueRequest(one, cursors[one], 100, True) for one in ADDRESSES]
            known = [owner._webhooks.by_address[one] for one in ADDRESSES]
            values = {
                "webhooks": [one.n for one in known], "afters": list(cursors.values()), "limits": [100] * 24,
                "ordered": [1] * 24, "slots": [one.slot for one in known], "token": owner.leases.token,
                "epochs": [owner.leases.owned[one.slot] for one in known],
            }  # fmt: skip
            explain = b"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + connection.sql(pending_queries.NEW)
            ((plan,),) = connection.connect().execute(explain, values).fetchall()
            reads.append(buffers(plan[0]["Plan"]))
            answers = owner.dequeue_new(requests)
            assert 240 == sum(len(items) for items, _ in answers)
            cursors = {one: cursor for one, (_, cursor) in zip(ADDRESSES, answers, strict=True)}
            owner.settle([settlement(item) for items, _ in answers for item in items], now=1.0)
    reader.close()
    connection.close()
    assert max(reads[6:]) < 2 * max(reads[:3]), reads
