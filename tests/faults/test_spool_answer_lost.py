"""A connection to a shared spool that is lost at COMMIT: the call is repeated, and nothing is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from builders import ACME, delivery, settlement
from commit_proxy import Wire
from contract.spool_stores import DAY, balanced, bodies, fresh, intake
from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.spool_values import DequeueRequest
from hookline.state.postgres_address import parse_postgres
from postgres_server import shared_server


class Process:
    """A process whose connection goes over a proxy. Its leases have a connection of their own."""

    def __init__(self) -> None:
        name = f"?spool=l{uuid4().hex[:16]}"
        store = SharedStore(shared_server().url("postgres", more=name))
        store.create()
        self._leases = store.leases()
        self._leases.join()
        self._leases.rebalance()
        self.proxy = Wire(shared_server(), "pass")
        location = f"postgresql://postgres@127.0.0.1:{self.proxy.port}/postgres{name}&sslmode=disable"
        address = parse_postgres(location, "spool")
        self.spool = PostgresSpool(SpoolConnection(address), self._leases)

    def close(self) -> None:
        self.spool.close()
        self.proxy.close()


@pytest.fixture
def process() -> Iterator[Process]:
    one = Process()
    yield one
    one.close()


@pytest.mark.parametrize("at_commit", ["swallow answer", "cut"])
def test_a_group_is_stored_and_counted_once(process: Process, at_commit: str) -> None:
    """The server has committed it, or never received the COMMIT. The same call again stores it in the second case
    only. A lane finds its deliveries."""
    spool = process.spool
    batch = intake(delivery("a"), delivery("b"), rejected=2, campaign=3)
    requests = [DequeueRequest(ACME, 0, 10, True)]
    spool.enqueue(intake(delivery("z"), line=9), now=1.0, dedupe_window=DAY)
    process.proxy.lose(at_commit)
    with pytest.raises(SpoolStalled):
        spool.enqueue(batch, now=2.0, dedupe_window=DAY, requests=requests)
    enqueued = spool.enqueue(batch, now=3.0, dedupe_window=DAY, requests=requests)
    assert 3 == enqueued.pending
    tally = spool.tally()
    assert (8, 2, 3, 0) == tuple(
        tally.get(name, 0) for name in ("read", "rejected", "skipped:campaign", "duplicates")
    )
    assert [b"z", b"a", b"b"] == bodies(fresh(spool))
    assert balanced(tally)
    again = spool.enqueue(batch, now=4.0, dedupe_window=DAY)  # another call with the same values
    assert (3, 4) == (again.pending, spool.tally()["duplicates"])


@pytest.mark.parametrize("at_commit", ["swallow answer", "cut"])
def test_results_are_recorded_once(process: Process, at_commit: str) -> None:
    """Their requests are counted once, and the call that is repeated returns the deliveries that waited."""
    spool = process.spool
    spool.enqueue(intake(delivery("a", order_key=1), delivery("b", order_key=1)), now=1.0, dedupe_window=DAY)
    results = [settlement(item, posts=2) for item in fresh(spool)]
    process.proxy.lose(at_commit)
    with pytest.raises(SpoolStalled):
        spool.settle(results, now=2.0)
    assert [b"b"] == bodies(spool.settle(results, now=3.0))
    tally = spool.tally()
    assert (2, 1, 1, 1) == tuple(tally[name] for name in ("attempts", "delivered", "records", "pending"))
    assert 2 == spool.enqueue(intake(delivery("c"), line=2), now=4.0, dedupe_window=DAY).pending
    assert balanced(spool.tally())
