"""What the owner of slots records, and what a former owner no longer can, on a real server."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, balanced, bodies, fresh, put
from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import State
from postgres_server import shared_server

Join = Callable[[], PostgresSpool]


def test_a_former_owner_changes_nothing(join: Join, owner: PostgresSpool) -> None:
    """A process that does not know yet that it lost its slots records no result, and makes nothing dead or due. Its
    requests count."""
    put(owner, delivery("a", order_key=1), delivery("b", order_key=1), delivery("c"))
    a, c = fresh(owner)
    owner.settle([settlement(c, State.PENDING, due=50.0)], now=1.0)
    remembered = owner.leases.owned
    owner.leases.leave()
    second = join()
    owner.leases.owned = remembered
    assert [] == owner.settle([settlement(a)], now=2.0)
    assert 0 == owner.dead_letter(ACME, reason="x", now=2.0, without=(), limit=9)
    assert 0 == owner.expire(ACME, before=99.0, now=2.0, without=(), limit=9)
    assert 0 == owner.make_due(ACME, now=2.0, limit=9)
    tally = second.tally()
    assert (3, 2) == (tally["pending"], tally["attempts"])
    assert [b"a"] == bodies(fresh(second))
    assert [b"b"] == bodies(second.settle([settlement(a)], now=3.0))
    assert 50.0 == second.next_due(ACME, after=0.0)
    assert balanced(second.tally())


def test_results_of_a_slot_that_was_lost_do_not_hold_up_the_others(join: Join, owner: PostgresSpool) -> None:
    """One call has results of both."""
    put(owner, delivery("a"), delivery("o", address=OTHER))
    (a,), (o,) = fresh(owner), fresh(owner, OTHER)
    lost = owner.leases.slot_of(ACME)
    remembered = owner.leases.owned
    owner.leases.release([lost])
    owner.leases.owned = remembered
    owner.settle([settlement(a), settlement(o)], now=1.0)
    assert (1, 1) == (owner.tally()["delivered"], owner.tally()["pending"])


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD])
def test_a_result_of_another_delivery_with_its_number_is_not_its_result(owner: PostgresSpool, state: State) -> None:
    """After a failover, a standby that lost transactions gives their numbers to other deliveries."""
    put(owner, delivery("a", order_key=1))
    (a,) = fresh(owner)
    owner.settle([settlement(a, state, order_key=2, reason="x")], now=1.0)
    assert 1 == owner.tally()["pending"]
    owner.settle([settlement(a, state, reason="x")], now=2.0)
    assert 0 == owner.tally()["pending"]


def test_a_disabled_webhook_is_noticed_by_the_other_processes(join: Join, owner: PostgresSpool) -> None:
    """Its clock stops for all of them: a delivery that another process stores does not age either."""
    second = join()
    put(second, delivery("a"), now=10.0)
    owner.set_disabled(ACME, disabled=True, now=20.0)
    assert (False, True, False) == (
        owner.changed_by_others(), second.changed_by_others(), second.changed_by_others(),
    )  # fmt: skip
    put(second, delivery("b"), now=30.0)
    owner.set_disabled(ACME, disabled=False, now=40.0)
    assert 0 == owner.expire(ACME, before=30.0, now=50.0, without=(), limit=9)
    assert 2 == owner.expire(ACME, before=40.5, now=50.0, without=(), limit=9)


def test_a_statement_that_waits_for_too_long_is_repeated_by_the_caller(store: SharedStore, join: Join) -> None:
    """Another session holds a lock. After a third of the lease the call ends, has changed nothing, and can be
    repeated on the same connection."""
    store.connection().close()
    connection = store.connection()
    connection.query("UPDATE spool.meta SET lease_seconds = 0.6")
    connection.close()
    spool = join()
    put(spool, delivery("a"))
    items = fresh(spool)
    with psycopg.connect(shared_server().url("postgres")) as other:
        other.execute(f"LOCK TABLE {spool._connection.schema}.delivery".encode())
        with pytest.raises(SpoolStalled):
            spool.settle([settlement(item) for item in items], now=1.0)
    spool.leases.renew()
    spool.settle([settlement(item) for item in items], now=2.0)
    assert (1, 1) == (spool.tally()["delivered"], spool.tally()["attempts"])
