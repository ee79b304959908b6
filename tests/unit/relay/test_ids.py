"""The names that deliveries, requests and messages go by."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.ids import WebhookIds, framed, request_prefix


@given(st.text(), st.binary(), st.binary())
def test_deliveries_of_a_request_share_the_beginning_of_their_ids(request: str, seed: bytes, content: bytes) -> None:
    """Whatever the webhook and the event are, a range of the ids holds all deliveries of one request."""
    expected = 16
    made = WebhookIds(seed).delivery_id(content, request)
    assert expected == len(made)
    assert made.startswith(request_prefix(request))


def test_request_prefix_stays_the_same_over_releases() -> None:
    """Spools of earlier releases are searched by it."""
    assert bytes.fromhex("a1701198") == request_prefix("8NoByJneShCdCGRnrGS1t1m3CdA73dhR")


def test_ids_of_a_webhook_stay_the_same_over_releases() -> None:
    """A re-run after an upgrade finds its duplicates and their order. No id depends on those made before it."""
    ids = WebhookIds(framed("acme") + framed("prod"))
    for _ in range(2):
        assert "ca5c4c0502eec94bf4a949086ebe6e2a" == ids.delivery_id(b"content", "R-1").hex()
        assert "8e713277-bb16-8541-a664-f9487c39a6f8" == ids.derived_request_id(b"content")
        expected = 1161993424359553559
        assert expected == ids.order_key("E-1", "a@example.com")


def test_events_of_one_request_keep_ids_of_their_own() -> None:
    """The request is a part of the id only: event and webhook tell the deliveries of one request apart."""
    ids = {WebhookIds(seed).delivery_id(content, "R-1") for seed in (b"a", b"b") for content in (b"1", b"2")}
    expected = 4
    assert expected == len(ids)


def test_derived_request_id_is_a_uuid_of_version_8() -> None:
    """Receivers may parse a request id as a UUID; version and variant say that its bits are our own."""
    made = UUID(WebhookIds(b"seed").derived_request_id(b"content"))
    assert (8, "specified in RFC 4122") == (made.version, made.variant)


@given(st.text(), st.text(), st.text(min_size=1))
def test_order_key_keeps_message_and_recipient_apart(execution: str, recipient: str, moved: str) -> None:
    """Text that moves from the one to the other makes another key."""
    ids = WebhookIds(b"")
    assert ids.order_key(execution + moved, recipient) != ids.order_key(execution, moved + recipient)
