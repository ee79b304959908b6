"""The plans of the statements that store deliveries, on a real server."""

from __future__ import annotations

from builders import delivery, ingest_batch
from contract.spool_stores import DAY, put
from hookline.model import Address
from hookline.relay.spool.postgres.relay_ports.delivery_writer import DeliveryWriter, LaneAnswers, quiet_step
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import DequeueRequest
from query_plans import believe_empty, indexes, plan_of

ADDRESSES = [Address("acme", f"s{n}") for n in range(24)]


def test_each_statement_reads_by_its_own_index(store: SharedStore, owner: PostgresSpool) -> None:
    """Also when the statistics are those of an empty spool, and a backlog has come since."""
    believe_empty(store)
    put(owner, *(delivery(f"e{n}", address=ADDRESSES[n % 24], order_key=n) for n in range(2000)))
    new = [delivery(f"n{n}", address=ADDRESSES[n % 24], order_key=n) for n in range(500)]
    webhooks = dict(owner._webhooks.by_address)
    requests = {webhooks[one].n: DequeueRequest(one, 0, 100, True) for one in ADDRESSES}
    lanes = LaneAnswers(requests, new, webhooks)
    writer = DeliveryWriter(ingest_batch(*new), webhooks, 1.0)
    steps = [*lanes.steps(), quiet_step({webhooks[one].slot: 0 for one in ADDRESSES}), writer.store_step(DAY)]
    assert [{"delivery_pending"}, {"delivery_order"}, {"delivery_arrival"}, {"delivery_id"}] == [
        indexes(plan_of(store, owner._settings(), step)) for step in steps
    ]
