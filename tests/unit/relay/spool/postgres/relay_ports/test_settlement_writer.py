"""The plans of the statements that record results, on a real server."""

from __future__ import annotations

from builders import delivery, settlement
from contract.spool_stores import fresh, put
from hookline.model import Address
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.relay_ports.settlement_writer import result_steps, successor_steps
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import State
from query_plans import believe_empty, indexes, plan_of

ADDRESSES = [Address("acme", f"s{n}") for n in range(24)]


def test_each_statement_reads_by_its_own_index(store: SharedStore, owner: PostgresSpool) -> None:
    """Also when the statistics are those of an empty spool, and a backlog has come since."""
    believe_empty(store)
    put(owner, *(delivery(f"e{n}", address=ADDRESSES[n % 24], order_key=n) for n in range(2000)))
    items = [item for one in ADDRESSES for item in fresh(owner, one, limit=20)]
    results = [settlement(item, State(n % 3)) for n, item in enumerate(items)]
    fence, _ = owner._fence({owner.leases.slot_of(one) for one in ADDRESSES})
    steps = [*result_steps(results, fence, 1.0), *successor_steps(results, owner._webhooks.by_address)]
    assert [{"delivery_pkey"}, {"delivery_pkey"}, {"delivery_order"}] == [
        indexes(plan_of(store, owner._settings(), step)) for step in steps
    ]
