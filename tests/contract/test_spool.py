"""What every spool must hold. Today there is one; another one joins by a line in `spool`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.relay.fates import WHOLE, Delivery, Line
from hookline.relay.sources.port import Position
from hookline.relay.spool.letters import DeadLetters, Filter
from hookline.relay.spool.port import Intake, Refused, Retention, Settlement, Spool, Standing, Taken, Waiting, Wanted
from hookline.relay.spool.schema import State
from hookline.relay.spool.sqlite import SqliteSpool
from hookline.relay.spool.standings import Standings

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
    return spool.fresh([Wanted(address, after, limit, ordered)])[0][0]


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
    [(first, cursor)] = spool.fresh([Wanted(ACME, 0, 3, True)])
    [(rest, _)] = spool.fresh([Wanted(ACME, cursor, 3, True)])
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
    spool.bury(ACME, reason="webhook deleted", now=1.0, without=(), limit=10)
    spool.settle([end(a)], now=2.0)
    tally = spool.tally()
    assert (1, 0) == (tally["dead"], tally.get("delivered", 0))
    assert balanced(tally)


def test_outcomes_are_synced_also_when_nothing_follows(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each group of outcomes is synced; those that were not are when the relay looks around, once."""
    synced: list[str] = []
    sync = os.fsync

    def counting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counting)
    put(spool, delivery("a"), now=100.0)
    spool.settle([end(fresh(spool)[0])], now=100.1)
    for _ in range(2):
        spool.changed_elsewhere()
    assert ["spool.db-wal"] == synced


def test_burying_spares_what_is_in_flight(spool: Spool) -> None:
    """When an endpoint is gone its pending events become dead letters; what is being attempted gets its own fate."""
    put(spool, delivery("a"), delivery("b"), delivery("o", address=OTHER))
    a, _ = fresh(spool)
    assert 1 == spool.bury(ACME, reason="http 410", now=1.0, without={a.seq}, limit=10)
    assert ([b"a"], [b"o"]) == (bodies(fresh(spool)), bodies(fresh(spool, OTHER)))


def test_a_held_webhooks_events_do_not_age(spool: Spool) -> None:
    """The time for which a webhook is disabled is not counted against `maxAge`."""
    put(spool, delivery("before"), now=100.0)
    spool.hold(ACME, disabled=True, now=110.0)
    spool.hold(ACME, disabled=True, now=150.0)
    put(spool, delivery("meanwhile"), now=200.0)
    spool.hold(ACME, disabled=False, now=310.0)
    spool.hold(ACME, disabled=False, now=400.0)
    assert [300.0, 310.0] == [item.since for item in fresh(spool)]


def test_a_paused_webhooks_events_do_not_age_either(spool: Spool, tmp_path: Path) -> None:
    """Pausing and disabling overlap: the clock stands still from the first of them to the end of the last."""
    put(spool, delivery("a"), now=100.0)
    with Standings(tmp_path / "spool") as standings:
        assert standings.pause(ACME, now=110.0)
        assert not standings.pause(ACME, now=111.0)
        spool.hold(ACME, disabled=True, now=120.0)
        assert standings.resume(ACME, now=130.0)
        assert not standings.resume(ACME, now=131.0)
    spool.hold(ACME, disabled=False, now=210.0)
    assert [200.0] == [item.since for item in fresh(spool)]


def test_what_an_endpoint_said_is_remembered(opened: Open, tmp_path: Path) -> None:
    """That it is gone, or wants to be left alone, outlives the relay, until somebody says `retry-now`."""
    one = opened(tmp_path / "spool")
    one.remember(ACME, stopped="http 410", stopped_as="sha256:1", not_before=None)
    one.remember(OTHER, stopped=None, stopped_as=None, not_before=77.0)
    one.close()
    again = opened(tmp_path / "spool")
    assert {
        ACME: Standing(stopped="http 410", stopped_as="sha256:1"), OTHER: Standing(not_before=77.0)
    } == again.standing()  # fmt: skip
    with Standings(tmp_path / "spool") as standings:
        standings.retry_now(ACME, now=50.0)
    assert again.changed_elsewhere()
    assert Standing(hurried=50.0) == again.standing()[ACME]
    again.close()


def test_retry_now_makes_every_waiting_retry_due(spool: Spool, tmp_path: Path) -> None:
    """However many there are, and no retry of another webhook."""
    put(spool, *(delivery(f"e{n}") for n in range(5)), delivery("o", address=OTHER))
    items = fresh(spool) + fresh(spool, OTHER)
    spool.settle([end(item, State.PENDING, due=1000.0) for item in items], now=1.0)
    with Standings(tmp_path / "spool", chunk=2) as standings:
        assert 5 == standings.retry_now(ACME, now=50.0)
    assert {ACME: 50.0, OTHER: 1000.0} == spool.next_dues()


def test_old_deliveries_expire_without_being_loaded(spool: Spool) -> None:
    """What is older than `maxAge` becomes a dead letter, oldest first and a bounded number at a time."""
    put(spool, delivery("a", key=1), delivery("b", key=1), now=10.0)
    put(spool, delivery("c"), now=20.0)
    a = fresh(spool)[0]
    assert 1 == spool.expire(ACME, before=15.0, now=99.0, without={a.seq}, limit=10)
    assert 0 == spool.expire(ACME, before=15.0, now=99.0, without={a.seq}, limit=10)
    assert [b"a", b"c"] == bodies(fresh(spool))
    assert 1 == spool.tally()["dead"]


def test_what_was_kept_for_long_enough_is_forgotten(spool: Spool, tmp_path: Path) -> None:
    """Records, dead letters and rejected lines go after the retention, a few at a time; pending deliveries never."""
    put(spool, *(delivery(f"e{n}") for n in range(6)), now=0.0)
    spool.append(intake(rejected=3), now=10.0, dedupe_window=DAY)
    items = fresh(spool)
    spool.settle([end(item) for item in items[:3]], now=10.0)
    spool.settle([end(item, State.DEAD, reason="x") for item in items[3:5]], now=10.0)
    keep = Retention(100.0, 1000)
    assert not spool.tidy(now=110.0, keep=keep, limit=2)
    assert spool.tidy(now=111.0, keep=keep, limit=2)
    while spool.tidy(now=111.0, keep=keep, limit=2):
        pass
    with DeadLetters(tmp_path / "spool") as dead:
        assert [] == list(dead.letters(Filter(), limit=10))
    assert (0, 1) == (spool.tally()["records"], spool.tally()["pending"])
    assert balanced(spool.tally())


def test_the_number_of_records_is_bounded(spool: Spool) -> None:
    """Beyond the largest number the oldest go first; an event that nothing is known of any more is sent again."""
    for number in range(4):
        put(spool, delivery(f"e{number}"), now=float(number))
        spool.settle([end(fresh(spool)[0])], now=float(number))
    while spool.tidy(now=5.0, keep=Retention(DAY, 2), limit=1):
        pass
    assert 2 == spool.tally()["records"]
    put(spool, delivery("e0"), delivery("e3"), now=6.0)
    assert (1, 1) == (spool.tally()["pending"], spool.tally()["duplicates"])


def test_a_revived_record_counts_as_one_less(spool: Spool) -> None:
    """An id that is sent again after the window is no record while it is pending."""
    put(spool, delivery("a"), now=0.0)
    spool.settle([end(fresh(spool)[0])], now=1.0)
    put(spool, delivery("a"), delivery("a"), now=3 * DAY)
    tally = spool.tally()
    assert (0, 1, 1) == (tally["records"], tally["pending"], tally["duplicates"])


def test_a_clock_that_was_set_changes_neither_waits_nor_ages(spool: Spool) -> None:
    """Everything that is due or dated moves with the clock."""
    put(spool, delivery("a"), delivery("b"), now=100.0)
    (a, _) = fresh(spool)
    spool.settle([end(a, State.PENDING, due=150.0)], now=110.0)
    spool.clock_stepped(1000.0, now=1120.0)
    (b,) = fresh(spool)
    assert (1150.0, 1100.0) == (spool.next_due(ACME, after=0.0), b.since)


def everything_kept(spool: Spool, directory: Path) -> tuple[int, int, int]:
    """How many records, dead deliveries and rejected lines there are."""
    with DeadLetters(directory) as dead:
        kept = dead.count(Filter())
    return spool.tally()["records"], kept.deliveries, kept.lines


def settle_one_of_each(spool: Spool, *, now: float) -> None:
    put(spool, delivery(f"done-{now}"), delivery(f"dead-{now}"), now=now)
    done, dead = fresh(spool)
    spool.settle([end(done), end(dead, State.DEAD, reason="http 422")], now=now)
    spool.append(intake(rejected=1, line=int(now)), now=now, dedupe_window=DAY)


KEEP = Retention(30 * DAY, 1000)


@pytest.mark.parametrize("reopened", [False, True], ids=["at once", "after a restart"])
def test_a_clock_that_is_set_forward_forgets_nothing(opened: Open, tmp_path: Path, reopened: bool) -> None:
    """What is kept stays for as long as it would have stayed, and a duplicate is one for as long."""
    spool = opened(tmp_path / "spool")
    settle_one_of_each(spool, now=100.0)
    spool.clock_stepped(40 * DAY, now=110.0 + 40 * DAY)
    if reopened:
        spool.close()
        spool = opened(tmp_path / "spool")
    settle_one_of_each(spool, now=110.0 + 41 * DAY)
    set_to = 40 * DAY
    assert not spool.tidy(now=set_to + 100.0 + 30 * DAY, keep=KEEP, limit=10)
    assert (2, 2, 2) == everything_kept(spool, tmp_path / "spool")
    spool.tidy(now=set_to + 101.0 + 30 * DAY, keep=KEEP, limit=10)
    assert (1, 1, 1) == everything_kept(spool, tmp_path / "spool")
    spool.tidy(now=set_to + 110.0 + 31 * DAY, keep=KEEP, limit=10)
    assert (1, 1, 1) == everything_kept(spool, tmp_path / "spool")
    spool.tidy(now=set_to + 111.0 + 31 * DAY, keep=KEEP, limit=10)
    assert (0, 0, 0) == everything_kept(spool, tmp_path / "spool")
    assert balanced(spool.tally())
    spool.close()


def test_a_clock_that_is_set_forward_ends_no_duplicate_window(spool: Spool) -> None:
    """An event that was delivered an hour ago is known, also when the clock has moved on by a week since."""
    put(spool, delivery("a"), now=0.0)
    spool.settle([end(fresh(spool)[0])], now=10.0)
    spool.clock_stepped(7 * DAY, now=7 * DAY + 20.0)
    put(spool, delivery("a"), now=7 * DAY + 3600.0)
    assert (1, 0) == (spool.tally()["duplicates"], spool.tally()["pending"])
    put(spool, delivery("a"), now=8 * DAY + 10.0)
    assert (1, 1) == (spool.tally()["duplicates"], spool.tally()["pending"])


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-50, 50)), max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_the_clock_is_set_nothing_is_forgotten_before_its_time(
    opened: Open, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]]
) -> None:
    """Set forward and back as often as anybody likes: what was settled less than the retention ago is there."""
    spool = opened(tmp_path_factory.mktemp("spool"))
    passed, ahead = 0.0, 1000.0
    kept_at: list[float] = []
    for number, (days, by) in enumerate(steps):
        put(spool, delivery(f"{number}"), now=passed + ahead, window=0.0)
        spool.settle([end(item) for item in fresh(spool)], now=passed + ahead)
        kept_at.append(passed)
        passed += days
        ahead += by
        if by:
            spool.clock_stepped(by, now=passed + ahead)
        spool.tidy(now=passed + ahead, keep=Retention(30.0, 1000), limit=100)
        assert spool.tally().get("records", 0) >= sum(1 for at in kept_at if passed - at <= 30.0)
    spool.close()


def test_a_clock_that_is_set_right_again_leaves_nothing_behind(spool: Spool, tmp_path: Path) -> None:
    """After a mistake that was put right, everything goes when it would have gone."""
    settle_one_of_each(spool, now=100.0)
    spool.clock_stepped(40 * DAY, now=40 * DAY + 200.0)
    spool.clock_stepped(-40 * DAY, now=300.0)
    spool.tidy(now=101.0 + 30 * DAY, keep=KEEP, limit=10)
    assert (0, 0, 0) == everything_kept(spool, tmp_path / "spool")


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


def test_long_lines_are_read_again_in_small_groups(spool: Spool, tmp_path: Path) -> None:
    """What is handed out at a time is bounded in bytes as well, and in the end all of it was."""
    lines = [Line(n, b"%02d" % n * 2**19, 2**20) for n in range(10)]
    refused = [Refused(line, WHOLE, "not JSON") for line in lines]
    given = msgspec.structs.replace(intake(), read=len(lines), rejected=refused)
    spool.append(given, now=0.0, dedupe_window=DAY)
    with DeadLetters(tmp_path / "spool") as dead:
        dead.replay(Filter(), now=1.0)
    groups = []
    while group := spool.to_read_again(limit=500):
        groups.append(len(group))
        again = msgspec.structs.replace(
            intake(), position=None, again=[one.n for one in group], skipped={"x": len(group)}
        )
        spool.append(again, now=2.0, dedupe_window=DAY)
    assert [4, 4, 2] == groups
    assert balanced(spool.tally())


def test_a_discarded_letter_is_gone_and_stays_a_duplicate(spool: Spool, tmp_path: Path) -> None:
    """Throwing a dead letter away frees its payload; reading its event again soon does not send it after all."""
    put(spool, delivery("a"))
    spool.settle([end(fresh(spool)[0], State.DEAD, reason="http 422")], now=5.0)
    with DeadLetters(tmp_path / "spool") as dead:
        assert 1 == dead.discard(Filter(reason="422"), now=6.0).deliveries
        assert [] == list(dead.letters(Filter(), limit=10))
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
