"""What every spool must hold. Today there is one; another one joins by a line in `spool`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.fates import Delivery, Line
from hookline.relay.sources.port import Position
from hookline.relay.spool.letters import DeadLetters, Filter
from hookline.relay.spool.port import Intake, Refused, Settlement, Spool, Taken, Waiting
from hookline.relay.spool.schema import State
from hookline.relay.spool.sqlite import SqliteSpool

ACME = Address("acme", "prod")
OTHER = Address("other", "prod")
DAY = 86_400.0

Open = Callable[[Path], Spool]
STEP = st.tuples(
    st.integers(0, 30), st.sampled_from([None, 1, 2]), st.sampled_from(["deliver", "retry", "die", "wait"])
)


@pytest.fixture(params=["sqlite"])
def opened(request: pytest.FixtureRequest) -> Open:
    return {"sqlite": lambda directory: SqliteSpool(directory, since="now")}[request.param]


@pytest.fixture
def spool(opened: Open, tmp_path: Path) -> Iterator[Spool]:
    one = opened(tmp_path / "spool")
    yield one
    one.close()


def delivery(name: str, *, key: int | None = None, address: Address = ACME) -> Delivery:
    return Delivery(
        id=hashlib.blake2b(name.encode(), digest_size=16).digest(),
        address=address,
        order_key=key,
        body=name.encode(),
        request_id=f"request-{name}",
        channel="email",
        status="sent",
    )


def intake(*deliveries: Delivery, rejected: int = 0, line: int = 1, **skipped: int) -> Intake:
    refused = [Refused(Line(line + n, b"broken %d" % n, 8), 0, "not JSON") for n in range(rejected)]
    return Intake(
        source="events",
        position=Position(name="events", line=line, offset=line * 10, device=1, inode=2),
        read=len(deliveries) + rejected + sum(skipped.values()),
        deliveries=[Taken(line, one) for one in deliveries],
        skipped=skipped,
        rejected=refused,
    )


def put(spool: Spool, *deliveries: Delivery, now: float = 0.0, window: float = DAY) -> None:
    spool.append(intake(*deliveries), now=now, dedupe_window=window)


def fresh(
    spool: Spool, address: Address = ACME, *, after: int = 0, limit: int = 100, ordered: bool = True
) -> list[Waiting]:
    return spool.fresh(address, after=after, limit=limit, ordered=ordered)[0]


def end(
    item: Waiting, state: State = State.DELIVERED, *, due: float | None = None, reason: str | None = None
) -> Settlement:
    return Settlement(
        seq=item.seq, order_key=item.order_key, state=state, attempts=item.attempts + 1, tries=item.tries + 1,
        refusals=item.refusals, posts=1, due=due, reason=reason,
    )  # fmt: skip


def bodies(items: list[Waiting]) -> list[bytes]:
    return [item.body for item in items]


def balanced(tally: dict[str, int]) -> bool:
    fates = sum(
        n for what, n in tally.items() if what.startswith(("delivered", "skipped", "rejected", "dead", "dup"))
    )
    return tally.get("read", 0) + tally.get("replayed", 0) == fates + tally["pending"]


def test_what_was_appended_comes_back_in_the_order_of_reading(spool: Spool) -> None:
    """Fresh deliveries come out oldest first, page by page, each once."""
    put(spool, *(delivery(f"e{n}") for n in range(5)))
    first, cursor = spool.fresh(ACME, after=0, limit=3, ordered=True)
    rest, _ = spool.fresh(ACME, after=cursor, limit=3, ordered=True)
    assert [b"e0", b"e1", b"e2", b"e3", b"e4"] == bodies(first) + bodies(rest)


def test_position_and_rows_survive_together(opened: Open, tmp_path: Path) -> None:
    """After a restart the source's position and the deliveries that it covers are both there."""
    one = opened(tmp_path / "s")
    one.append(intake(delivery("a"), line=7), now=0.0, dedupe_window=DAY)
    one.close()
    two = opened(tmp_path / "s")
    assert [7] == [position.line for position in two.positions()]
    assert [b"a"] == bodies(fresh(two))
    two.close()


def test_a_known_id_is_a_duplicate_while_pending_dead_or_lately_delivered(spool: Spool) -> None:
    """The same event read again is counted and not sent again, whatever became of it the first time."""
    put(spool, delivery("a"), delivery("b"), delivery("c"))
    pending, dead, done = fresh(spool)
    spool.settle([end(dead, State.DEAD, reason="http 422"), end(done)], now=10.0)
    put(spool, delivery("a"), delivery("b"), delivery("c"), now=20.0)
    assert (6, 3, 1) == tuple(spool.tally()[what] for what in ("read", "duplicates", "pending"))
    assert [pending.seq] == [item.seq for item in fresh(spool)]


def test_a_delivered_id_counts_again_when_the_window_is_over(spool: Spool) -> None:
    """After the dedupe window, or with a window of 0, a delivered event that is read again is sent again."""
    put(spool, delivery("a"), delivery("b"))
    spool.settle([end(item) for item in fresh(spool)], now=10.0)
    put(spool, delivery("a"), now=10.0 + DAY)
    put(spool, delivery("b"), now=11.0, window=0.0)
    assert [b"a", b"b"] == bodies(fresh(spool, after=2))
    assert balanced(spool.tally())


def test_an_event_waits_for_the_earlier_one_of_its_message(spool: Spool) -> None:
    """Of one order key only the first is handed out; settling it hands over the next."""
    put(spool, delivery("a1", key=1), delivery("a2", key=1), delivery("b1", key=2), delivery("a3", key=1))
    a1, b1 = fresh(spool)
    assert [b"a1", b"b1"] == bodies([a1, b1])
    (a2,) = spool.settle([end(a1), end(b1)], now=1.0)
    assert b"a2" == a2.body
    assert [b"a3"] == bodies(spool.settle([end(a2, State.DEAD, reason="http 400")], now=2.0))


def test_a_retry_keeps_its_successors_waiting(spool: Spool) -> None:
    """While the first event of a message waits for its next attempt, the later ones stay behind it."""
    put(spool, delivery("a1", key=1), delivery("a2", key=1))
    (a1,) = fresh(spool)
    assert [] == spool.settle([end(a1, State.PENDING, due=50.0)], now=1.0)
    put(spool, delivery("a3", key=1))
    assert [] == fresh(spool)
    (again,) = spool.due(ACME, now=50.0, limit=10, without=())
    assert (b"a1", 1, 1) == (again.body, again.attempts, again.tries)
    assert [b"a2"] == bodies(spool.settle([end(again)], now=51.0))


def test_without_ordering_nothing_waits(spool: Spool) -> None:
    """A webhook with `ordering: none` gets all its events at once."""
    put(spool, delivery("a1", key=1), delivery("a2", key=1))
    assert [b"a1", b"a2"] == bodies(fresh(spool, ordered=False))


def test_retries_come_when_due_longest_due_first(spool: Spool) -> None:
    """A retry is not handed out before its time, nor twice while it is held in memory."""
    put(spool, delivery("a"), delivery("b"), delivery("c"))
    a, b, c = fresh(spool)
    spool.settle(
        [end(a, State.PENDING, due=30.0), end(b, State.PENDING, due=20.0), end(c, State.PENDING, due=40.0)], now=1.0
    )
    assert [] == spool.due(ACME, now=19.9, limit=10, without=())
    assert [b"b", b"a"] == bodies(spool.due(ACME, now=30.0, limit=10, without=()))
    assert [b"a"] == bodies(spool.due(ACME, now=30.0, limit=1, without={b.seq}))
    assert (20.0, 40.0, None) == tuple(spool.next_due(ACME, after=after) for after in (0.0, 30.0, 40.0))


def test_webhooks_do_not_see_each_other(spool: Spool) -> None:
    """Each lane is handed its own deliveries only."""
    put(spool, delivery("a"), delivery("o", address=OTHER))
    assert ([b"a"], [b"o"], {ACME, OTHER}) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)), spool.pending())
    assert ([], None) == (fresh(spool, Address("no", "body")), spool.next_due(Address("no", "body"), after=0.0))


def test_a_settlement_counts_once(spool: Spool) -> None:
    """An outcome that arrives after the delivery was settled (buried meanwhile) changes neither row nor tally."""
    put(spool, delivery("a"))
    (a,) = fresh(spool)
    spool.bury(ACME, reason="webhook deleted", now=1.0, without=())
    spool.settle([end(a)], now=2.0)
    tally = spool.tally()
    assert (1, 0) == (tally["dead"], tally.get("delivered", 0))
    assert balanced(tally)


def test_burying_spares_what_is_in_flight(spool: Spool) -> None:
    """When an endpoint is gone its pending events become dead letters; what is being attempted gets its own fate."""
    put(spool, delivery("a"), delivery("b"), delivery("o", address=OTHER))
    a, _ = fresh(spool)
    assert 1 == spool.bury(ACME, reason="http 410", now=1.0, without={a.seq})
    assert ([b"a"], [b"o"]) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)))


def test_a_held_webhooks_events_do_not_age(spool: Spool) -> None:
    """The time for which a webhook is disabled is not counted against `maxAge`."""
    put(spool, delivery("before"), now=100.0)
    spool.hold(ACME, held=True, now=110.0)
    spool.hold(ACME, held=True, now=150.0)
    put(spool, delivery("meanwhile"), now=200.0)
    spool.hold(ACME, held=False, now=310.0)
    spool.hold(ACME, held=False, now=400.0)
    assert [300.0, 310.0] == [item.since for item in fresh(spool)]


def test_a_rejected_line_is_kept_once(spool: Spool) -> None:
    """The same bad line read again from the same place is a duplicate, another one is not."""
    spool.append(intake(rejected=2), now=0.0, dedupe_window=DAY)
    spool.append(intake(rejected=3), now=0.0, dedupe_window=DAY)
    assert (5, 3, 2) == tuple(spool.tally()[what] for what in ("read", "rejected", "duplicates"))


def test_a_replayed_delivery_is_pending_again_under_its_id(spool: Spool, tmp_path: Path) -> None:
    """Replay keeps the id and the count of attempts, starts a new age, and is exempt from order."""
    put(spool, delivery("a1", key=1), delivery("a2", key=1))
    (a1,) = fresh(spool)
    spool.settle([end(a1, State.DEAD, reason="http 422")], now=5.0)
    assert not spool.changed_elsewhere()
    with DeadLetters(tmp_path / "spool") as dead:
        assert 1 == dead.replay(Filter(webhook=ACME), now=99.0).deliveries
    assert spool.changed_elsewhere()
    (again,) = spool.due(ACME, now=99.0, limit=10, without=())
    assert (a1.id, 1, 0, 99.0, None) == (again.id, again.attempts, again.tries, again.since, again.order_key)
    assert balanced(spool.tally())


def test_a_replayed_line_is_read_again(spool: Spool, tmp_path: Path) -> None:
    """A rejected line that was put back is handed out until an intake replaces it, and is accounted for."""
    spool.append(intake(rejected=2), now=0.0, dedupe_window=DAY)
    with DeadLetters(tmp_path / "spool") as dead:
        assert 1 == dead.replay(Filter(ids=("line-1",)), now=1.0).lines
    (line,) = spool.to_read_again(limit=10)
    assert (1, "events", b"broken 0") == (line.n, line.source, line.line.data)
    replacing = msgspec.structs.replace(intake(delivery("a")), position=None, read=0, again=[1])
    spool.append(replacing, now=2.0, dedupe_window=DAY)
    assert ([], 1) == (spool.to_read_again(limit=10), spool.tally()["replayed"])
    assert balanced(spool.tally())


def test_a_discarded_letter_is_gone_and_stays_a_duplicate(spool: Spool, tmp_path: Path) -> None:
    """Throwing a dead letter away frees its payload; reading its event again soon does not send it after all."""
    put(spool, delivery("a"))
    spool.settle([end(fresh(spool)[0], State.DEAD, reason="http 422")], now=5.0)
    with DeadLetters(tmp_path / "spool") as dead:
        assert 1 == dead.discard(Filter(reason="422"), now=6.0).deliveries
        assert [] == dead.letters(Filter(), limit=10)
    put(spool, delivery("a"), now=7.0)
    assert 1 == spool.tally()["duplicates"]
    assert balanced(spool.tally())


def test_a_second_holder_is_refused_by_name(opened: Open, spool: Spool, tmp_path: Path) -> None:
    """Two relays on one spool: the second is told which process has it, and since when."""
    with pytest.raises(SpoolUnusable, match=r"held by process \d+ since now"):
        opened(tmp_path / "spool")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEP, max_size=40))
def test_everything_is_accounted_for_at_every_moment(
    opened: Open, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int | None, str]]
) -> None:
    """read + replayed = the sum of the fates after every step, and a key's events leave in the order of reading."""
    spool = opened(tmp_path_factory.mktemp("spool"))
    order: dict[int, list[int]] = {}
    for now, (name, key, then) in enumerate(steps):
        put(spool, delivery(f"{name}-{key}", key=key), now=float(now))
        for item in [*fresh(spool, limit=1), *spool.due(ACME, now=float(now), limit=1, without=())][:1]:
            match then:
                case "deliver" | "die":
                    spool.settle(
                        [end(item, State.DELIVERED if then == "deliver" else State.DEAD, reason="x")], now=now
                    )
                    if item.order_key is not None:
                        order.setdefault(item.order_key, []).append(item.seq)
                case "retry":
                    spool.settle([end(item, State.PENDING, due=now + 2.0)], now=now)
        assert balanced(spool.tally())
    spool.close()
    assert all(seqs == sorted(seqs) for seqs in order.values())
