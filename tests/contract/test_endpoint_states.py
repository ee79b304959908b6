"""The suite of port.EndpointStates."""

from __future__ import annotations

from builders import ACME, delivery
from contract.spool_stores import OTHER, fresh, put
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import EndpointState, Spool


def test_a_held_webhooks_events_do_not_age(spool: Spool) -> None:
    """The time for which a webhook is disabled is not counted against `maxAge`."""
    put(spool, delivery("before"), now=100.0)
    spool.hold(ACME, disabled=True, now=110.0)
    spool.hold(ACME, disabled=True, now=150.0)
    put(spool, delivery("meanwhile"), now=200.0)
    spool.hold(ACME, disabled=False, now=310.0)
    spool.hold(ACME, disabled=False, now=400.0)
    assert [300.0, 310.0] == [item.since for item in fresh(spool)]


def test_what_an_endpoint_said_is_remembered(store: SpoolStore) -> None:
    """That it is gone, or wants to be left alone, outlives the relay, until somebody says `retry-now`."""
    one = store.open(since="now")
    one.remember(ACME, stopped="http 410", stopped_as="sha256:1", not_before=None)
    one.remember(OTHER, stopped=None, stopped_as=None, not_before=77.0)
    one.close()
    again = store.open(since="now")
    assert {
        ACME: EndpointState(stopped="http 410", stopped_as="sha256:1"), OTHER: EndpointState(not_before=77.0)
    } == again.standing()  # fmt: skip
    with store.webhook_control() as control:
        control.retry_now(ACME, now=50.0)
    assert again.changed_elsewhere()
    assert EndpointState(hurried=50.0) == again.standing()[ACME]
    again.close()
