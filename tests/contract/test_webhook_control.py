"""The conformance suite of admin.WebhookControl."""

from __future__ import annotations

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, fresh, put
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import EndpointState, State


def test_a_paused_webhooks_events_do_not_age_either(store: SpoolStore, spool: Spool) -> None:
    """Pausing and disabling overlap: the webhook's clock stops from the first of them to the end of the last."""
    put(spool, delivery("a"), now=100.0)
    with store.webhook_control() as control:
        assert control.pause(ACME, now=110.0)
        assert not control.pause(ACME, now=111.0)
        spool.set_disabled(ACME, disabled=True, now=120.0)
        assert control.resume(ACME, now=130.0)
        assert not control.resume(ACME, now=131.0)
    spool.set_disabled(ACME, disabled=False, now=210.0)
    assert [200.0] == [item.since for item in fresh(spool)]


def test_retry_now_makes_every_waiting_retry_due(store: SpoolStore, spool: Spool) -> None:
    """All retries of the webhook become due, and none of another webhook."""
    put(spool, *(delivery(f"e{n}") for n in range(5)), delivery("o", address=OTHER))
    items = fresh(spool) + fresh(spool, OTHER)
    spool.settle([settlement(item, State.PENDING, due=1000.0) for item in items], now=1.0)
    with store.webhook_control() as control:
        assert 5 == control.retry_now(ACME, now=50.0)
    assert {ACME: 50.0, OTHER: 1000.0} == spool.next_dues([ACME, OTHER])


def test_a_webhook_that_the_spool_never_heard_of(store: SpoolStore) -> None:
    """The first relay finds a pause from before its start."""
    store.create_if_missing(since="now")
    with store.webhook_control() as control:
        assert control.pause(ACME, now=5.0)
        assert 0 == control.retry_now(OTHER, now=6.0)
    spool = store.open(since="now")
    assert {ACME: EndpointState(paused=5.0), OTHER: EndpointState(retry_now_at=6.0)} == spool.endpoint_states()
    spool.close()
