"""The conformance suite of spool.SettleSpool."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, balanced, bodies, fresh, put
from hookline.model import Address
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import State


def test_an_event_waits_for_the_earlier_one_of_its_message(spool: Spool) -> None:
    """Of one order key only the first is handed out; settling it hands over the next."""
    put(
        spool,
        delivery("a1", order_key=1),
        delivery("a2", order_key=1),
        delivery("b1", order_key=2),
        delivery("a3", order_key=1),
    )
    a1, b1 = fresh(spool)
    assert [b"a1", b"b1"] == bodies([a1, b1])
    (a2,) = spool.settle([settlement(a1), settlement(b1)], now=1.0)
    assert b"a2" == a2.body
    assert [b"a3"] == bodies(spool.settle([settlement(a2, State.DEAD, reason="http 400")], now=2.0))


def test_a_retry_keeps_its_successors_waiting(spool: Spool) -> None:
    """While the first event of a message waits for its next attempt, the later ones stay behind it."""
    put(spool, delivery("a1", order_key=1), delivery("a2", order_key=1))
    (a1,) = fresh(spool)
    assert [] == spool.settle([settlement(a1, State.PENDING, due=50.0)], now=1.0)
    put(spool, delivery("a3", order_key=1))
    assert [] == fresh(spool)
    (again,) = spool.dequeue_due(ACME, now=50.0, limit=10, without=())
    assert (b"a1", 1, 1) == (again.body, again.attempts, again.tries)
    assert [b"a2"] == bodies(spool.settle([settlement(again)], now=51.0))


def test_a_settlement_counts_once(spool: Spool) -> None:
    """A result of a delivery that is a dead letter by then changes neither row nor tally."""
    put(spool, delivery("a"))
    (a,) = fresh(spool)
    spool.dead_letter(ACME, reason="webhook deleted", now=1.0, without=(), limit=10)
    spool.settle([settlement(a)], now=2.0)
    tally = spool.tally()
    assert (1, 0) == (tally["dead"], tally.get("delivered", 0))
    assert balanced(tally)


def test_dead_lettering_spares_what_is_in_flight(spool: Spool) -> None:
    """When an endpoint is gone its pending events become dead letters; a delivery in flight gets its own result."""
    put(spool, delivery("a"), delivery("b"), delivery("o", address=OTHER))
    a, _ = fresh(spool)
    assert 1 == spool.dead_letter(ACME, reason="http 410", now=1.0, without={a.seq}, limit=10)
    assert ([b"a"], [b"o"]) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)))


def test_old_deliveries_expire_without_being_loaded(spool: Spool) -> None:
    """What is older than `maxAge` becomes a dead letter, oldest first and a bounded number at a time."""
    put(spool, delivery("a", order_key=1), delivery("b", order_key=1), now=10.0)
    put(spool, delivery("c"), now=20.0)
    a = fresh(spool)[0]
    assert 1 == spool.expire(ACME, before=15.0, now=99.0, without={a.seq}, limit=10)
    assert 0 == spool.expire(ACME, before=15.0, now=99.0, without={a.seq}, limit=10)
    assert [b"a", b"c"] == bodies(fresh(spool))
    assert 1 == spool.tally()["dead"]


def test_an_old_delivery_behind_others_expires(store: SpoolStore, spool: Spool) -> None:
    """Replayed deliveries and excluded ones have earlier places, and the limit does not count them."""
    put(spool, delivery("a"), delivery("b"), now=10.0)
    spool.settle([settlement(one, State.DEAD, reason="x") for one in fresh(spool)], now=11.0)
    put(spool, delivery("old"), delivery("older"), now=12.0)
    old, older = fresh(spool)
    with store.dead_letters() as dead:
        dead.replay(Filter(), now=100.0)
    assert 1 == spool.expire(ACME, before=50.0, now=101.0, without={old.seq}, limit=1)
    assert 1 == spool.expire(ACME, before=50.0, now=101.0, without={older.seq}, limit=2)
    assert 0 == spool.expire(ACME, before=50.0, now=101.0, without=(), limit=2)
    assert 2 == spool.tally()["pending"]


def test_the_oldest_expire_first(spool: Spool) -> None:
    """Also after the clock was set back."""
    for name, now in (("b", 20.0), ("c", 30.0), ("a", 10.0)):
        put(spool, delivery(name), now=now)
    assert 1 == spool.expire(ACME, before=15.0, now=99.0, without=(), limit=1)
    assert [b"b", b"c"] == bodies(fresh(spool))


def test_a_held_delivery_does_not_expire(store: SpoolStore, spool: Spool) -> None:
    """The age does not grow while the webhook is disabled or paused, also before the relay notices the pause."""
    put(spool, delivery("a"), delivery("o", address=OTHER), now=100.0)
    spool.set_disabled(ACME, disabled=True, now=110.0)
    with store.webhook_control() as control:
        control.pause(OTHER, now=110.0)
    for address in (ACME, OTHER):
        assert 0 == spool.expire(address, before=200.0, now=500.0, without=(), limit=10)
    spool.set_disabled(ACME, disabled=False, now=500.0)
    assert 0 == spool.expire(ACME, before=490.0, now=500.0, without=(), limit=10)
    assert 1 == spool.expire(ACME, before=490.5, now=500.0, without=(), limit=10)


def test_only_deliveries_that_waited_are_returned(spool: Spool) -> None:
    """Without order, a later event of a message may be settled first. The earlier one did not wait for it."""
    put(spool, delivery("a1", order_key=1), delivery("a2", order_key=1), delivery("a3", order_key=1))
    a1, a2, a3 = fresh(spool, ordered=False)
    assert [] == spool.settle([settlement(a2)], now=1.0)
    assert [b"a3"] == bodies(spool.settle([settlement(a1)], now=2.0))
    assert [] == spool.settle([settlement(a3)], now=3.0)


STEP = st.tuples(
    st.integers(0, 30), st.sampled_from([None, 1, 2]), st.sampled_from(["deliver", "retry", "die", "wait"])
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(STEP, max_size=40))
def test_everything_is_accounted_for_at_every_moment(
    new_store: Callable[[], SpoolStore], steps: list[tuple[int, int | None, str]]
) -> None:
    """read + replayed = the sum of all results after every step, and a key's events leave in the order of reading."""
    spool = new_store().open(since="now")
    order: dict[int, list[int]] = {}
    for now, (name, key, then) in enumerate(steps):
        put(spool, delivery(f"{name}-{key}", order_key=key), now=float(now))
        for item in [*fresh(spool, limit=1), *spool.dequeue_due(ACME, now=float(now), limit=1, without=())][:1]:
            match then:
                case "deliver" | "die":
                    spool.settle(
                        [settlement(item, State.DELIVERED if then == "deliver" else State.DEAD, reason="x")], now=now
                    )
                    if item.order_key is not None:
                        order.setdefault(item.order_key, []).append(item.seq)
                case "retry":
                    spool.settle([settlement(item, State.PENDING, due=now + 2.0)], now=now)
        assert balanced(spool.tally())
    spool.close()
    assert all(seqs == sorted(seqs) for seqs in order.values())


def test_one_call_settles_deliveries_of_several_webhooks(spool: Spool) -> None:
    """Each settlement names the webhook of its delivery; only that webhook's successors are returned."""
    put(spool, delivery("a1", order_key=1), delivery("a2", order_key=1), delivery("o1", order_key=2, address=OTHER))
    put(spool, delivery("o2", order_key=2, address=OTHER))
    (a1,), (o1,) = fresh(spool), fresh(spool, OTHER)
    assert {ACME: b"a2", OTHER: b"o2"} == {
        one.address: one.body for one in spool.settle([settlement(a1), settlement(o1)], now=1.0)
    }


def test_waiting_retries_can_be_made_due(spool: Spool) -> None:
    """Retries of one webhook become due in chunks, the earliest first. Those that are due already do not change."""
    put(spool, *(delivery(f"e{n}") for n in range(4)), delivery("other", address=OTHER), now=0.0)
    for item, due in zip(fresh(spool), (5.0, 5000.0, 4000.0, 3000.0), strict=True):
        spool.settle([settlement(item, State.PENDING, due=due)], now=1.0)
    spool.settle([settlement(fresh(spool, OTHER)[0], State.PENDING, due=2000.0)], now=1.0)
    assert 2 == spool.make_due(ACME, now=10.0, limit=2)
    assert [b"e0", b"e2", b"e3"] == sorted(bodies(spool.dequeue_due(ACME, now=10.0, limit=10, without=())))
    assert 1 == spool.make_due(ACME, now=11.0, limit=2)
    assert spool.next_due(ACME, after=11.0) is None
    assert 2000.0 == spool.next_due(OTHER, after=11.0)
    assert 0 == spool.make_due(Address("nobody", "prod"), now=11.0, limit=2)


def test_only_retries_after_a_time_can_be_made_due(store: SpoolStore, spool: Spool) -> None:
    """Retries that are due later than a time become due. Earlier ones wait, and so do replays that are spaced out,
    also after a pause."""
    put(spool, *(delivery(f"e{n}") for n in range(3)), delivery("dead"), now=100.0)
    first, second, third, dead = fresh(spool)
    for item, due in ((first, 200.0), (second, 5000.0), (third, 6000.0)):
        spool.settle([settlement(item, State.PENDING, due=due)], now=110.0)
    spool.settle([settlement(dead, State.DEAD)], now=110.0)
    with store.webhook_control() as control:
        control.pause(ACME, now=120.0)
        control.resume(ACME, now=150.0)
    with store.dead_letters() as letters:
        put(spool, delivery("another"), now=160.0)
        spool.settle([settlement(fresh(spool)[0], State.DEAD)], now=160.0)
        letters.replay(Filter(), now=160.0, rate=0.0001)
    spool.changed_by_others()
    assert [1, 1] == [spool.make_due(ACME, now=170.0, limit=1, after=1000.0) for _ in range(2)]
    assert 0 == spool.make_due(ACME, now=170.0, limit=1, after=1000.0)
    waiting = bodies(spool.dequeue_due(ACME, now=170.0, limit=10, without=()))
    assert {b"e1", b"e2"} < set(waiting) < {b"e1", b"e2", b"dead", b"another"}
    assert 200.0 == spool.next_due(ACME, after=170.0)
    assert 10_160.0 == spool.next_due(ACME, after=200.0)
