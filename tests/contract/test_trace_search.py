"""The conformance suite of admin.TraceSearch."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import fresh, put, put_rejected
from hookline.errors import SpoolUnusable
from hookline.relay.delivery_record import Delivery, FailedAttempt, add_failure
from hookline.relay.ids import WebhookIds, request_prefix
from hookline.relay.spool.admin import TracedDelivery
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import State


def of_request(request: str, content: bytes = b"1", *, key: int | None = None) -> Delivery:
    """A delivery whose id begins with the prefix of its request, as all ids do that routing makes."""
    one = delivery(f"{request} {content!r}", order_key=key, request_id=request)
    return msgspec.structs.replace(one, id=WebhookIds(b"seed").delivery_id(content, request))


def one(store: SpoolStore, what: str) -> TracedDelivery:
    (found,) = store.trace_search().trace(what).deliveries
    return found


def test_all_events_of_a_request(store: SpoolStore, spool: Spool) -> None:
    """Every delivery of the request is found, in the order of reading, and none of another request."""
    put(spool, of_request("R-1", b"1"), of_request("R-2"), of_request("R-1", b"2"), now=100.0)
    first, second = store.trace_search().trace("R-1").deliveries
    assert [of_request("R-1", content).id.hex() for content in (b"1", b"2")] == [first.id, second.id]
    assert ("events", 100.0, True, State.PENDING) == (first.source, first.read, first.exact, first.state)


def test_requests_that_share_a_prefix(store: SpoolStore, spool: Spool) -> None:
    """Two requests can have the same 4-byte prefix. The request id distinguishes them."""
    foreign = msgspec.structs.replace(of_request("R-2"), id=request_prefix("R-1") + b"x" * 12)
    put(spool, of_request("R-1"), foreign)
    assert "R-1" == one(store, "R-1").request_id


def test_by_delivery_id(store: SpoolStore, spool: Spool) -> None:
    """A whole delivery id finds its delivery, in upper case too; so do its first 8 digits, or 9, but not 7."""
    put(spool, of_request("R-1"), of_request("R-2"))
    identity = of_request("R-2").id.hex()
    for digits in (identity, identity.upper(), identity[:8], identity[:9]):
        assert "R-2" == one(store, digits).request_id
    assert not store.trace_search().trace(identity[:7]).found
    assert not store.trace_search().trace(identity + "0").found


def test_rejected_lines_that_hold_the_request(store: SpoolStore, spool: Spool) -> None:
    """A rejected line is found by the request id in it, also if JSON escapes the id."""
    put_rejected(spool, b'{"requestId":"R-1", broken', b'{"requestId":"R-\\u00e9", broken')
    assert ["line-1"] == [line.id for line in store.trace_search().trace("R-1").lines]
    assert ["line-2"] == [line.id for line in store.trace_search().trace("R-é").lines]
    assert not store.trace_search().trace("R-2").found


def test_bytes_that_are_no_text_find_nothing(store: SpoolStore, spool: Spool) -> None:
    """An argument that is not UTF-8 is no error."""
    assert not store.trace_search().trace("R-\udcff").found


def test_each_of_many_results_is_its_own(store: SpoolStore, spool: Spool) -> None:
    """Results that one call settles differ in status, attempts and failures, and a trace shows those of each."""
    numbers = range(90)
    put(spool, *(of_request(f"R-{n}") for n in numbers))
    items = fresh(spool)
    failed = add_failure(None, FailedAttempt(101.0, 1, "http 503", 503))
    results: list[dict[str, Any]] = [
        {"http": 200 + n % 3, "attempts": 1 + n % 2, "history": failed if n % 5 == 0 else None} for n in numbers
    ]
    spool.settle([settlement(item, **result) for item, result in zip(items, results, strict=True)], now=102.0)
    assert 90 == spool.tally()["delivered"]
    for n, result in zip(numbers, results, strict=True):
        found = one(store, f"R-{n}")
        shown = {"http": found.http, "attempts": found.attempts, "history": failed if found.history else None}
        assert (State.DELIVERED, result) == (found.state, shown)


def test_history_and_end(store: SpoolStore, spool: Spool) -> None:
    """A trace shows the failed attempts and the result, with time and status. A delivered one has no payload."""
    put(spool, of_request("R-1"))
    history = add_failure(None, FailedAttempt(101.0, 1, "http 503", 503))
    settled = msgspec.structs.replace(settlement(fresh(spool)[0]), attempts=2, http=204, history=history)
    spool.settle([settled], now=105.0)
    found = one(store, "R-1")
    assert [FailedAttempt(101.0, 1, "http 503", 503)] == found.history
    assert (State.DELIVERED, 105.0, 2, 204, None) == (
        found.state, found.settled, found.attempts, found.http, found.body,
    )  # fmt: skip


def test_the_earlier_event_of_the_message_is_named(store: SpoolStore, spool: Spool) -> None:
    """A delivery that waits for an earlier event of its message names the first pending one; the first names none."""
    put(spool, of_request("R-1", key=5), of_request("R-2", key=5), of_request("R-3", key=6))
    assert of_request("R-1").id.hex() == one(store, "R-2").predecessor
    assert one(store, "R-1").predecessor is one(store, "R-3").predecessor is None


def test_when_it_was_read_is_not_exact_after_a_pause(store: SpoolStore, spool: Spool) -> None:
    """After a pause the time of reading is not exact, because the age did not grow during it."""
    put(spool, of_request("R-1"))
    with store.webhook_control() as control:
        control.pause(ACME, now=110.0)
        control.resume(ACME, now=150.0)
    assert not one(store, "R-1").exact


def test_without_a_spool(store: SpoolStore) -> None:
    """The message names the missing spool."""
    with pytest.raises(SpoolUnusable, match="spool not found"):
        store.trace_search().trace("R-1")


def test_by_message_execution(store: SpoolStore, spool: Spool) -> None:
    """All events of a message execution are found, of every request, delivered ones too."""
    put(
        spool,
        msgspec.structs.replace(of_request("R-1"), execution_id="HUMA-1"),
        msgspec.structs.replace(of_request("R-2"), execution_id="HUMA-1"),
        msgspec.structs.replace(of_request("R-3"), execution_id="HUMA-12"),
    )
    spool.settle([settlement(fresh(spool)[0])], now=1.0)
    found = store.trace_search().trace("HUMA-1").deliveries
    assert [("R-1", State.DELIVERED), ("R-2", State.PENDING)] == [(each.request_id, each.state) for each in found]
    assert not store.trace_search().trace("HUMA").found
