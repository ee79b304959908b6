"""The conformance suite of address_moves.AddressMoves."""

from __future__ import annotations

import pytest

from builders import ACME, delivery, ingest_batch, settlement
from contract.spool_stores import DAY, OTHER, balanced, bodies, fresh, put
from hookline.errors import MovesUnknown
from hookline.model import Address
from hookline.relay.spool.address_moves import FollowedMoves, MoveResult, RecordedMove
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import EndpointState, State

NEW = Address("acme", "live")
MOVE = RecordedMove("lineage", 5, ACME, NEW)


def put_after(spool: Spool, number: int, *keys: str, address: Address = NEW, now: float = 50.0) -> None:
    """Stores deliveries whose routes know the followed moves up to `number`."""
    batch = ingest_batch(*(delivery(key, address=address) for key in keys), moves=number)
    spool.enqueue(batch, now=now, dedupe_window=DAY)


def test_pending_deliveries_go_to_the_new_address(spool: Spool) -> None:
    """They keep payload, id, order and attempts. Other webhooks and the account stay as they are."""
    put(spool, delivery("a"), delivery("b", order_key=7), delivery("o", address=OTHER), delivery("c", order_key=7))
    first = fresh(spool)[0]
    spool.settle([settlement(first, State.PENDING, due=90.0, attempts=3, tries=2)], now=1.0)
    before = spool.tally()
    assert MoveResult(1, 3) == spool.follow_move(MOVE, now=10.0)
    assert before == spool.tally()
    assert balanced(spool.tally())
    assert ([], {OTHER, NEW}) == (fresh(spool, ACME), spool.pending())
    [found] = fresh(spool, NEW)
    assert (b"b", NEW) == (found.body, found.address)
    [retry] = spool.dequeue_due(NEW, now=90.0, limit=5, without=())
    assert (first.id, first.body, 3, 2) == (retry.id, retry.body, retry.attempts, retry.tries)
    assert [b"c"] == bodies(spool.settle([settlement(found, State.DELIVERED)], now=91.0))
    assert [b"o"] == bodies(fresh(spool, OTHER))


def test_earlier_order_keys_precede_new_ones(spool: Spool) -> None:
    """A delivery of the same message that is stored after the move waits for the one from before it."""
    put(spool, delivery("a", order_key=7))
    spool.follow_move(MOVE, now=10.0)
    batch = ingest_batch(delivery("b", address=NEW, order_key=7), delivery("c", address=NEW, order_key=8), moves=1)
    spool.enqueue(batch, now=11.0, dedupe_window=DAY)
    first, other = fresh(spool, NEW)
    assert [b"a", b"c"] == [first.body, other.body]
    assert [b"b"] == bodies(spool.settle([settlement(first, State.DELIVERED)], now=12.0))


def test_known_events_are_duplicates_at_the_new_address(spool: Spool) -> None:
    """An id that was pending, dead or delivered at the old address is known."""
    put(spool, delivery("pending"), delivery("dead"), delivery("delivered"))
    found = {one.body: one for one in fresh(spool)}
    spool.settle([settlement(found[b"dead"], State.DEAD), settlement(found[b"delivered"], State.DELIVERED)], now=2.0)
    number = spool.follow_move(MOVE, now=10.0)
    assert number is not None
    put_after(spool, number.number, "pending", "dead", "delivered")
    assert 3 == spool.tally()["duplicates"]
    assert [b"pending"] == bodies(fresh(spool, NEW))


def test_dead_letters_records_and_the_pause_follow(store: SpoolStore, spool: Spool) -> None:
    """They belong to the webhook, so its new address finds them and the old one does not. Ages stay."""
    put(spool, delivery("dead"), delivery("delivered"), delivery("kept"))
    found = {one.body: one for one in fresh(spool)}
    spool.settle([settlement(found[b"dead"], State.DEAD), settlement(found[b"delivered"], State.DELIVERED)], now=2.0)
    with store.webhook_control() as control:
        control.pause(ACME, now=4.0)
    spool.changed_by_others()
    spool.save_endpoint_state(ACME, gone_reason="http 410", gone_configuration="x", not_before=None)
    spool.follow_move(MOVE, now=10.0)
    expected = EndpointState(paused=4.0, gone_reason="http 410", gone_configuration="x")
    assert {NEW: expected} == spool.endpoint_states()
    with store.dead_letters() as letters:
        assert [1, 0] == [letters.count(Filter(webhook=address)).deliveries for address in (NEW, ACME)]
    traced = store.trace_search().trace(found[b"delivered"].id.hex()).deliveries
    assert {str(NEW)} == {one.webhook for one in traced}
    with store.webhook_control() as control:
        assert control.resume(NEW, now=14.0)
    spool.changed_by_others()
    assert [10.0] == [one.since for one in fresh(spool, NEW)]


def test_batches_that_were_routed_before_are_refused(spool: Spool) -> None:
    """The ingester routes them again. Nothing of them is stored."""
    spool.follow_move(MOVE, now=10.0)
    before = spool.tally()
    with pytest.raises(MovesUnknown):
        put_after(spool, 0, "a", address=ACME)
    assert before == spool.tally()
    put_after(spool, 1, "a")
    assert [b"a"] == bodies(fresh(spool, NEW))


def test_a_repeated_call_changes_nothing(store: SpoolStore) -> None:
    """Also after a restart, and although another webhook has the old address since."""
    spool = store.open(since="now")
    put(spool, delivery("a"))
    assert MoveResult(1, 1) == spool.follow_move(MOVE, now=10.0)
    put_after(spool, 1, "b", address=ACME)
    assert MoveResult(1, 0) == spool.follow_move(MOVE, now=11.0)
    assert ([b"b"], [b"a"]) == (bodies(fresh(spool)), bodies(fresh(spool, NEW)))
    assert FollowedMoves(1, [MOVE]) == spool.followed_moves()
    spool.close()
    again = store.open(since="now")
    assert FollowedMoves(1, [MOVE]) == again.followed_moves()
    assert MoveResult(1, 0) == again.follow_move(MOVE, now=12.0)
    assert ([b"b"], [b"a"]) == (bodies(fresh(again)), bodies(fresh(again, NEW)))
    again.close()


def test_several_moves_in_order(spool: Spool) -> None:
    """A chain, another webhook at an address that was left, and a move back."""
    third = Address("third", "prod")
    put(spool, delivery("a"), delivery("o", address=OTHER))
    chain = [
        MOVE,
        RecordedMove("lineage", 6, NEW, third),
        RecordedMove("lineage", 7, OTHER, ACME),
        RecordedMove("lineage", 8, third, NEW),
        RecordedMove("lineage", 9, ACME, OTHER),
        RecordedMove("lineage", 10, NEW, ACME),
    ]
    results = [spool.follow_move(one, now=10.0) for one in chain]
    assert [MoveResult(number, 1) for number in range(1, 7)] == results
    assert ([b"a"], [b"o"], {ACME, OTHER}) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)), spool.pending())


def test_an_address_with_an_earlier_life(store: SpoolStore, spool: Spool) -> None:
    """The spool knows the new address from a webhook that was deleted: its rows stay there, with their ages, and a
    pause of either address holds."""
    put(spool, delivery("a"), now=5.0)
    put(spool, delivery("dead", address=NEW), delivery("delivered", address=NEW), delivery("b", address=NEW), now=6.0)
    found = {one.body: one for one in fresh(spool, NEW)}
    spool.settle([settlement(found[b"dead"], State.DEAD), settlement(found[b"delivered"], State.DELIVERED)], now=7.0)
    spool.set_disabled(ACME, disabled=True, now=5.0)
    spool.set_disabled(ACME, disabled=False, now=8.0)
    with store.webhook_control() as control:
        control.pause(NEW, now=9.0)
        control.retry_now(NEW, now=9.5)
    spool.changed_by_others()
    before = spool.tally()
    assert MoveResult(1, 1) == spool.follow_move(MOVE, now=10.0)
    assert before == spool.tally()
    assert {NEW: EndpointState(paused=9.0, retry_now_at=9.5)} == spool.endpoint_states()
    with store.dead_letters() as letters:
        assert 1 == letters.count(Filter(webhook=NEW)).deliveries
    with store.webhook_control() as control:
        control.resume(NEW, now=20.0)
    spool.changed_by_others()
    # At 10 the first was 2 seconds old and the second 3: one was disabled for 3 seconds, the other paused for 1.
    assert {b"a": 18.0, b"b": 17.0} == {one.body: one.since for one in fresh(spool, NEW)}


def test_an_address_that_the_spool_does_not_know(spool: Spool) -> None:
    """The move is recorded, so that a later webhook of the old address keeps its deliveries."""
    assert MoveResult(1, 0) == spool.follow_move(MOVE, now=10.0)
    assert {} == spool.endpoint_states()
    put_after(spool, 1, "a", address=ACME)
    assert MoveResult(1, 0) == spool.follow_move(MOVE, now=11.0)
    assert [b"a"] == bodies(fresh(spool))


def test_orphans_are_due_at_the_new_address(spool: Spool) -> None:
    """Deliveries that come to an address after its webhook has moved: only the pending ones go, with their ages."""
    put(spool, delivery("a"), delivery("dead"), now=5.0)
    found = {one.body: one for one in fresh(spool)}
    spool.settle([settlement(found[b"dead"], State.DEAD)], now=6.0)
    before = spool.tally()
    assert 1 == spool.move_orphans(ACME, NEW, now=10.0)
    assert 0 == spool.move_orphans(ACME, NEW, now=10.0)
    assert (before, {NEW}) == (spool.tally(), spool.pending())
    assert spool.changed_by_others()
    assert {NEW: 10.0} == spool.next_dues([ACME, NEW])
    [moved] = spool.dequeue_due(NEW, now=10.0, limit=5, without=())
    assert (b"a", 5.0) == (moved.body, moved.since)
