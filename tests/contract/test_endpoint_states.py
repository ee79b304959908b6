"""The conformance suite of spool.EndpointStates."""

from __future__ import annotations

from builders import ACME, delivery
from contract.spool_stores import OTHER, fresh, put
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import EndpointState


def test_a_held_webhooks_events_do_not_age(spool: Spool) -> None:
    """The time for which a webhook is disabled does not count for `maxAge`."""
    put(spool, delivery("before"), now=100.0)
    spool.set_disabled(ACME, disabled=True, now=110.0)
    spool.set_disabled(ACME, disabled=True, now=150.0)
    put(spool, delivery("meanwhile"), now=200.0)
    spool.set_disabled(ACME, disabled=False, now=310.0)
    spool.set_disabled(ACME, disabled=False, now=400.0)
    assert [300.0, 310.0] == [item.since for item in fresh(spool)]


def test_what_an_endpoint_said_is_remembered(store: SpoolStore) -> None:
    """That an endpoint is gone, or asked for no requests, outlives the relay until `retry-now`."""
    one = store.open(since="now")
    one.save_endpoint_state(ACME, gone_reason="http 410", gone_configuration="sha256:1", not_before=None)
    one.save_endpoint_state(OTHER, gone_reason=None, gone_configuration=None, not_before=77.0)
    one.close()
    again = store.open(since="now")
    assert {
        ACME: EndpointState(gone_reason="http 410", gone_configuration="sha256:1"),
        OTHER: EndpointState(not_before=77.0)
    } == again.endpoint_states()  # fmt: skip
    with store.webhook_control() as control:
        control.retry_now(ACME, now=50.0)
    assert again.changed_by_others()
    assert EndpointState(retry_now_at=50.0) == again.endpoint_states()[ACME]
    again.close()
