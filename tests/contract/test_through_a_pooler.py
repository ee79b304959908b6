"""A shared spool behind PgBouncer in transaction mode: no port of relays or operators keeps anything in a session."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, OTHER, balanced, fresh, put, put_rejected
from hookline.model import Address
from hookline.observe.snapshot import RelayStatus
from hookline.relay.spool.admin import Backlog, Count, Filter
from hookline.relay.spool.postgres.operator_ports.shared_processes import SharedStatusPublisher
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import DequeueRequest, Retention, State
from pgbouncer import MISSING, PROGRAM, Pooler, running_pooler
from postgres_server import Server, shared_server

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

WEBHOOKS = [Address("acme", f"sandbox-{n}") for n in range(16)]
EVENTS = 20  # of each webhook
# What a transaction of hookline sets for itself, and what a session has.
SETTINGS = ("statement_timeout", "lock_timeout", "enable_seqscan", "synchronous_commit", "transaction_read_only")


class Pooled:
    """A database behind the pooler."""

    def __init__(self, server: Server, pooler: Pooler) -> None:
        self.server, self.pooler, self.name = server, pooler, server.new_database()
        self.store = self.new_store()
        self.store.create()
        self.closing = ExitStack()

    def new_store(self) -> SharedStore:
        return SharedStore(self.pooler.url(self.name))

    def opened(self) -> PostgresSpool:
        """A spool that is closed at the end of the test."""
        spool = self.new_store().open(since="now")
        self.closing.callback(spool.close)
        return spool

    def settings(self, location: str) -> list[str]:
        query = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
        with psycopg.connect(location, autocommit=True) as connection:
            return list(connection.execute(f"SELECT {query}".encode()).fetchall()[0])


@pytest.fixture
def pooled() -> Iterator[Pooled]:
    server = shared_server()
    with running_pooler(server) as pooler:
        pooled = Pooled(server, pooler)
        with pooled.closing:
            yield pooled


def deliver(spool: PostgresSpool, accepted: list[bytes], errors: list[BaseException]) -> None:
    """Deliver all that the process owns."""
    try:
        spool.arrivals()  # reads the webhooks that another process has added
        for address in WEBHOOKS:
            after = 0
            while spool.leases.slot_of(address) in spool.leases.owned:
                ((items, after),) = spool.dequeue_new([DequeueRequest(address, after, 7, True)])
                if not items:
                    break
                accepted += [one.body for one in items]
                spool.settle([settlement(one) for one in items], now=2.0)
    except BaseException as error:
        errors.append(error)


def test_processes_share_a_spool_through_a_pooler(pooled: Pooled) -> None:
    """Three processes and an operator use two sessions of the server. Each event is delivered once, by its owner, and
    no setting of a transaction remains in a session."""
    spools = [pooled.opened() for _ in range(3)]
    for _ in range(4):  # a process gives up what it owns too much, and another takes it
        for spool in spools:
            membership = spool.leases.rebalance()
            surplus = len(membership.owned) - membership.target
            if surplus > 0:
                spool.leases.release(sorted(membership.owned)[:surplus])
    assert [21, 21, 22] == sorted(len(one.leases.owned) for one in spools)
    for address in WEBHOOKS:
        put(spools[0], *(delivery(f"{address} {n}", address=address, order_key=n) for n in range(EVENTS)), now=1.0)
    accepted: list[bytes] = []
    errors: list[BaseException] = []
    threads = [threading.Thread(target=deliver, args=(spool, accepted, errors)) for spool in spools]
    for thread in threads:
        thread.start()
    for n in range(10):
        with pooled.store.webhook_control() as control:
            control.pause(WEBHOOKS[n], now=3.0)
            control.resume(WEBHOOKS[n], now=3.0)
    for thread in threads:
        thread.join(timeout=60)
    assert [] == errors
    assert sorted(f"{address} {n}".encode() for address in WEBHOOKS for n in range(EVENTS)) == sorted(accepted)
    assert all(spool.changed_by_others() for spool in spools)
    tally = spools[0].tally()
    assert (len(accepted), len(accepted), 0) == (tally["read"], tally["delivered"], tally["pending"])
    assert pooled.pooler.transactions(pooled.name) > 200
    assert pooled.settings(pooled.server.url(pooled.name)) == pooled.settings(pooled.pooler.url(pooled.name))


def test_operators_work_through_a_pooler(pooled: Pooled) -> None:
    """Every port of operators, and those of a relay that see the effect."""
    spool, store = pooled.opened(), pooled.new_store()
    put(spool, delivery("a"), delivery("b"), delivery("c"), delivery("o", address=OTHER), now=1.0)
    put_rejected(spool, b"broken R-1", now=1.0)
    a, b, c = fresh(spool)
    dead = [settlement(one, State.DEAD, reason="http 422", http=422) for one in (a, b)]
    spool.settle([*dead, settlement(c, State.PENDING, due=900.0)], now=5.0)
    with store.dead_letters() as letters:
        exported = list(letters.all_in_order(Filter()))
        assert Count(2, 1) == letters.count(Filter())
        assert Count(1, 0) == letters.replay(Filter(ids=(a.id.hex(),)), now=6.0)
        assert Count(1, 1) == letters.discard(Filter(), now=7.0)
    with store.dead_letter_import() as imported:
        assert Count(0, 1) == imported.add(exported)
    with store.webhook_control() as control:
        assert 1 == control.retry_now(ACME, now=8.0)
        assert control.pause(OTHER, now=8.0)
    assert spool.changed_by_others()
    assert [b"a", b"c"] == [one.body for one in spool.dequeue_due(ACME, now=8.0, limit=9, without=())]
    assert ["line-2"] == [one.id for one in store.trace_search().trace("R-1").lines]
    assert State.DISCARDED is store.trace_search().trace(b.id.hex()).deliveries[0].state
    publisher = SharedStatusPublisher(pooled.store.connection(), lambda: spool.leases.token)
    publisher.publish(RelayStatus(version="1", process=1, started=1.0, at=9.0))
    statistics = store.statistics()
    (process,) = statistics.processes().processes
    assert (64, 9.0) == (len(process.slots), process.status.at if process.status else None)
    assert {ACME: Backlog(2, 0), OTHER: Backlog(1, 0)} == statistics.backlogs()
    assert (3, 8.0) == (statistics.spool_status(now=9.0).tally["pending"], statistics.spool_status(now=9.0).oldest)
    assert {a.id, b.id} == store.dry_run().known([a.id, b.id, b"-" * 16], delivered_after=1.0)
    assert balanced(spool.tally())
    while spool.clean_up(now=100 * DAY, keep=Retention(DAY, 10), limit=10):
        pass
    assert 0 == statistics.spool_status(now=100 * DAY).records
    publisher.withdraw()


def test_no_statement_is_prepared_behind_a_pooler(pooled: Pooled) -> None:
    """The next transaction may run in another session, which does not know the statement."""
    behind, direct = pooled.store.connection(), SharedStore(pooled.server.url(pooled.name)).connection()
    assert behind.connect().prepare_threshold is None
    assert direct.connect().prepare_threshold is not None
    behind.close()
    direct.close()
