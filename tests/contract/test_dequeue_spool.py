"""The conformance suite of spool.DequeueSpool."""

from __future__ import annotations

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, bodies, fresh, put
from hookline.model import Address
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import DequeueRequest, ProbeRequest, QueuedDelivery, State


def test_what_was_appended_comes_back_in_the_order_of_reading(spool: Spool) -> None:
    """New deliveries are returned in the order of reading, page by page, each once."""
    put(spool, *(delivery(f"e{n}") for n in range(5)))
    [(first, cursor)] = spool.dequeue_new([DequeueRequest(ACME, 0, 3, True)])
    [(rest, _)] = spool.dequeue_new([DequeueRequest(ACME, cursor, 3, True)])
    assert [b"e0", b"e1", b"e2", b"e3", b"e4"] == bodies(first) + bodies(rest)


def test_without_ordering_nothing_waits(spool: Spool) -> None:
    """A webhook with `ordering: none` gets all its events at once."""
    put(spool, delivery("a1", order_key=1), delivery("a2", order_key=1))
    assert [b"a1", b"a2"] == bodies(fresh(spool, ordered=False))


def test_retries_come_when_due_longest_due_first(spool: Spool) -> None:
    """A retry is not returned before its time, and not again while the caller excludes it."""
    put(spool, delivery("a"), delivery("b"), delivery("c"))
    a, b, c = fresh(spool)
    spool.settle(
        [
            settlement(a, State.PENDING, due=30.0),
            settlement(b, State.PENDING, due=20.0),
            settlement(c, State.PENDING, due=40.0),
        ],
        now=1.0,
    )
    assert [] == spool.dequeue_due(ACME, now=19.9, limit=10, without=())
    assert [b"b", b"a"] == bodies(spool.dequeue_due(ACME, now=30.0, limit=10, without=()))
    assert [b"a"] == bodies(spool.dequeue_due(ACME, now=30.0, limit=1, without={b.seq}))
    assert (20.0, 40.0, None) == tuple(spool.next_due(ACME, after=after) for after in (0.0, 30.0, 40.0))


def test_webhooks_do_not_see_each_other(spool: Spool) -> None:
    """Each lane receives only its own deliveries."""
    put(spool, delivery("a"), delivery("o", address=OTHER))
    assert ([b"a"], [b"o"], {ACME, OTHER}) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)), spool.pending())
    assert ([], None) == (fresh(spool, Address("no", "body")), spool.next_due(Address("no", "body"), after=0.0))


def test_the_first_retries_of_the_named_webhooks(spool: Spool) -> None:
    """The answer contains only requested webhooks that have a retry."""
    put(spool, delivery("a"), delivery("b"), delivery("o", address=OTHER))
    a, b = fresh(spool)
    (o,) = fresh(spool, OTHER)
    spool.settle([settlement(one, State.PENDING, due=due) for one, due in ((a, 30.0), (b, 20.0), (o, 10.0))], now=1.0)
    assert {ACME: 20.0} == spool.next_dues([ACME, Address("no", "body")])
    assert {ACME: 20.0, OTHER: 10.0} == spool.next_dues({ACME, OTHER})
    assert {} == spool.next_dues(())


def probe(
    spool: Spool,
    place: float,
    *,
    now: float = 0.0,
    ordered: bool = True,
    other_than: int | None = None,
    without: tuple[int, ...] = (),
) -> bytes | None:
    request = ProbeRequest(address=ACME, place=place, other_than=other_than, ordered=ordered)
    item = spool.dequeue_probe(request, now=now, without=without)
    return None if item is None else item.body


def fail(spool: Spool, *items: QueuedDelivery, due: float) -> None:
    spool.settle([settlement(one, State.PENDING, due=due) for one in items], now=1.0)


def test_a_probe_takes_the_delivery_at_its_place(spool: Spool) -> None:
    """The oldest, the newest, and one between them; none of another webhook, and none that the caller holds."""
    put(spool, delivery("o", address=OTHER), *(delivery(f"e{n}") for n in range(5)), delivery("p", address=OTHER))
    seqs = [item.seq for item in fresh(spool)]
    assert [b"e0", b"e2", b"e4"] == [probe(spool, place) for place in (0.0, 0.5, 1.0)]
    assert [b"e1", b"e3"] == [probe(spool, place, without=(seqs[0], seqs[4])) for place in (0.0, 1.0)]
    assert None is probe(spool, 0.0, without=tuple(seqs))


def test_a_probe_does_not_overtake_its_message(spool: Spool) -> None:
    """A delivery that waits for an earlier one of its message is no probe. Without order it may be one."""
    put(spool, delivery("a1", order_key=1), delivery("b1", order_key=2), delivery("a2", order_key=1))
    assert (b"b1", b"a2") == (probe(spool, 1.0), probe(spool, 1.0, ordered=False))
    assert b"a1" == probe(spool, 1.0, other_than=2)
    fail(spool, fresh(spool)[0], due=50.0)
    assert (b"b1", b"b1") == (probe(spool, 1.0, now=49.0), probe(spool, 1.0, now=50.0))
    assert b"a1" == probe(spool, 0.0, now=50.0, other_than=2)


def test_the_newest_probe_is_not_the_old_predecessor_of_a_newer_event(spool: Spool) -> None:
    """Bad events, then a good one, then events of the same messages as the bad ones: the good one is the newest that
    may be sent. Each of the last ones waits for a bad event, which is older."""
    put(
        spool,
        *(delivery(f"bad{n}", order_key=n) for n in range(5)),
        delivery("good", order_key=5),
        *(delivery(f"later{n}", order_key=n) for n in range(5)),
    )
    assert b"good" == probe(spool, 1.0)
    assert b"bad4" == probe(spool, 1.0, other_than=5)


def test_a_probe_prefers_an_untried_delivery(spool: Spool) -> None:
    """A delivery that has failed is a probe only if no other remains, and not before its retry is due."""
    put(spool, delivery("a"), delivery("b"), delivery("c"))
    a, b, c = fresh(spool)
    fail(spool, a, c, due=20.0)
    assert [b"b", b"b"] == [probe(spool, place, now=30.0) for place in (0.0, 1.0)]
    fail(spool, b, due=40.0)
    assert [None, b"a", b"c"] == [probe(spool, place, now=now) for place, now in ((0, 19.9), (0, 20.0), (1, 20.0))]
