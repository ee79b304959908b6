"""The conformance suite of admin.RecipientRemoval."""

from __future__ import annotations

import json
from contextlib import suppress

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, balanced, bodies, fresh, put, put_rejected
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.admin import FORGOTTEN, Count, Filter, ForgetCount, ForgetResult
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import State

ANN = Recipient("Ann@acme.example")
BODY = b'{"identityMap":{"email":[{"id":"ANN@acme.example"}]}}'
OTHERS = b'{"identityMap":{"email":[{"id":"joann@acme.example"}]}}'


def of_ann(name: str, **fields: object) -> Delivery:
    return delivery(name, **{"body": BODY, **fields})


def forget(store: SpoolStore, now: float = 50.0) -> ForgetResult:
    with store.recipient_removal() as removal:
        counted, done = removal.count(ANN), removal.forget(ANN, now=now)
        removal.overwrite()
    assert counted.count == done.count
    return done


def test_a_pending_delivery_is_counted_as_dead_and_not_sent(store: SpoolStore, spool: Spool) -> None:
    """Its record remains, so that the event is a duplicate if it is read again. Other deliveries stay."""
    put(spool, of_ann("a"), delivery("b", body=OTHERS))
    result = forget(store)
    assert ForgetCount(pending=1) == result.count
    assert {delivery("a").id} == result.pending_ids
    assert [OTHERS] == bodies(fresh(spool))
    traced = store.trace_search().trace(delivery("a").id.hex()).deliveries[0]
    assert (State.DISCARDED, FORGOTTEN, None) == (traced.state, traced.reason, traced.body)
    assert 50.0 == spool.endpoint_states()[ACME].forgotten_at
    put(spool, of_ann("a"), now=60.0)
    tally = spool.tally()
    assert (1, 1, 1) == (tally["dead"], tally["duplicates"], tally["pending"])
    assert balanced(tally)


def test_a_relay_notices_and_its_late_result_changes_nothing(store: SpoolStore, spool: Spool) -> None:
    """An attempt that was in flight ends after the removal: its result is neither stored nor counted."""
    put(spool, of_ann("a"))
    item = fresh(spool)[0]
    spool.changed_by_others()
    forget(store)
    assert spool.changed_by_others()
    spool.settle([settlement(item)], now=51.0)
    tally = spool.tally()
    assert (1, 0, 0) == (tally["dead"], tally.get("delivered", 0), tally["pending"])
    assert balanced(tally)


def test_later_events_of_the_message_continue(store: SpoolStore, spool: Spool) -> None:
    """A delivery that waited for a forgotten one may be sent."""
    put(spool, of_ann("first", order_key=7), delivery("second", order_key=7))
    assert [BODY] == bodies(fresh(spool))
    forget(store)
    spool.changed_by_others()
    assert [b"second"] == bodies(fresh(spool))


def test_dead_letters_are_removed(store: SpoolStore, spool: Spool) -> None:
    """Dead deliveries become records. Rejected lines go, raw or encoded, also those that wait for a replay."""
    put(spool, of_ann("a"), of_ann("b", address=OTHER), delivery("c", body=OTHERS))
    items = fresh(spool) + fresh(spool, OTHER)
    spool.settle([settlement(item, State.DEAD, reason="http 422") for item in items], now=10.0)
    put_rejected(
        spool, b"<ann@acme.example> x", json.dumps({"a": "\nann\u0040acme.example"}).encode(), b"joann@acme.example"
    )
    with store.dead_letters() as dead:
        dead.replay(Filter(ids=("line-2",)), now=20.0)
    assert ForgetCount(dead=2, lines=2) == forget(store).count
    assert [] == spool.replayed_lines(limit=9)
    with store.dead_letters() as dead:
        assert Count(1, 1) == dead.count(Filter())
    assert balanced(spool.tally())


def test_a_record_keeps_no_text_of_the_recipient(store: SpoolStore, spool: Spool) -> None:
    """The provider's text of a delivered event names the recipient. The record loses the text and remains."""
    put(spool, delivery("a", detail="550 <ann@acme.example>: user unknown"), delivery("b", detail="ok"))
    spool.settle([settlement(item) for item in fresh(spool)], now=10.0)
    assert ForgetCount(records=1) == forget(store).count
    details = [store.trace_search().trace(delivery(name).id.hex()).deliveries[0].detail for name in "ab"]
    assert [None, "ok"] == details


def test_a_repetition_finds_nothing(store: SpoolStore, spool: Spool) -> None:
    put(spool, of_ann("a"), delivery("b"))
    put_rejected(spool, b"ann@acme.example")
    forget(store)
    assert ForgetCount() == forget(store).count


def test_an_interrupted_run_is_repeated(store: SpoolStore, spool: Spool) -> None:
    """The run stops after the first page. The next one ends as one whole run does."""

    class Stopped(Exception):
        pass

    def stop(_searched: int) -> None:
        raise Stopped

    put(spool, of_ann("a"), delivery("b"))
    put_rejected(spool, b"ann@acme.example", b"other")
    with store.recipient_removal() as removal, suppress(Stopped):
        removal.forget(ANN, now=40.0, on_searched=stop)
    forget(store)
    tally = spool.tally()
    assert (1, 1) == (tally["dead"], tally["pending"])
    assert balanced(tally)
    with store.dead_letters() as dead:
        assert Count(0, 1) == dead.count(Filter())
    with store.recipient_removal() as removal:
        assert ForgetCount() == removal.count(ANN).count
