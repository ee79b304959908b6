"""The conformance suite of spool.MaintenanceSpool."""

from __future__ import annotations

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, OTHER, balanced, fresh, intake, put, put_rejected
from hookline.relay.delivery_record import DeadLine
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import Retention, State


def test_what_was_kept_for_long_enough_is_forgotten(store: SpoolStore, spool: Spool) -> None:
    """Records, dead letters and rejected lines are removed in chunks after the retention; the backlog is not."""
    put(spool, *(delivery(f"e{n}") for n in range(6)), now=0.0)
    spool.enqueue(intake(rejected=3), now=10.0, dedupe_window=DAY)
    items = fresh(spool)
    spool.settle([settlement(item) for item in items[:3]], now=10.0)
    spool.settle([settlement(item, State.DEAD, reason="x") for item in items[3:5]], now=10.0)
    keep = Retention(100.0, 1000)
    assert not spool.clean_up(now=110.0, keep=keep, limit=2)
    assert spool.clean_up(now=111.0, keep=keep, limit=2)
    while spool.clean_up(now=111.0, keep=keep, limit=2):
        pass
    with store.dead_letters() as dead:
        assert [] == list(dead.newest(Filter(), limit=10))
    assert (0, 1) == (spool.tally()["records"], spool.tally()["pending"])
    assert balanced(spool.tally())


def test_the_number_of_records_is_bounded(spool: Spool) -> None:
    """Above the maximum number, the oldest records are removed first. An event without a record is sent again."""
    for number in range(4):
        put(spool, delivery(f"e{number}"), now=float(number))
        spool.settle([settlement(fresh(spool)[0])], now=float(number))
    while spool.clean_up(now=5.0, keep=Retention(DAY, 2), limit=1):
        pass
    assert 2 == spool.tally()["records"]
    put(spool, delivery("e0"), delivery("e3"), now=6.0)
    assert (1, 1) == (spool.tally()["pending"], spool.tally()["duplicates"])


def test_a_write_by_an_operator_is_noticed_once(store: SpoolStore, spool: Spool) -> None:
    """The relay's own writes do not count."""
    put(spool, delivery("a"))
    assert not spool.changed_by_others()
    with store.webhook_control() as control:
        control.pause(ACME, now=1.0)
    assert (True, False) == (spool.changed_by_others(), spool.changed_by_others())


def everything_kept(spool: Spool, store: SpoolStore) -> tuple[int, int, int]:
    """The numbers of records, dead deliveries and rejected lines."""
    with store.dead_letters() as dead:
        kept = dead.count(Filter())
    return spool.tally()["records"], kept.deliveries, kept.lines


def settle_one_of_each(spool: Spool, *, now: float) -> None:
    put(spool, delivery(f"done-{now}"), delivery(f"dead-{now}"), now=now)
    done, dead = fresh(spool)
    spool.settle([settlement(done), settlement(dead, State.DEAD, reason="http 422")], now=now)
    spool.enqueue(intake(rejected=1, line=int(now)), now=now, dedupe_window=DAY)


KEEP = Retention(30 * DAY, 1000)


def test_everything_is_kept_for_as_long_as_the_retention(store: SpoolStore, spool: Spool) -> None:
    """Records, dead deliveries and rejected lines are removed after the retention, and not before."""
    settle_one_of_each(spool, now=100.0)
    settle_one_of_each(spool, now=100.0 + DAY)
    assert not spool.clean_up(now=100.0 + 30 * DAY, keep=KEEP, limit=10)
    assert (2, 2, 2) == everything_kept(spool, store)
    spool.clean_up(now=101.0 + 30 * DAY, keep=KEEP, limit=10)
    assert (1, 1, 1) == everything_kept(spool, store)
    spool.clean_up(now=101.0 + 31 * DAY, keep=KEEP, limit=10)
    assert (0, 0, 0) == everything_kept(spool, store)
    assert balanced(spool.tally())


def line_of(at: float) -> DeadLine:
    return DeadLine(
        n=1, at=at, reason="not JSON", source="imported", line=1, part=-1, data=b"old", length=3, sha256=b"h" * 32
    )


def test_old_lines_behind_others_are_removed(store: SpoolStore, spool: Spool) -> None:
    """Replayed lines, and newer ones that were read before an import, are not in the way."""
    put_rejected(spool, b"x", b"y", now=1000.0)
    put_rejected(spool, b"replayed", b"replayed too", b"old", now=2.0)
    with store.dead_letters() as dead:
        dead.replay(Filter(ids=("line-3", "line-4")), now=3.0)
    with store.dead_letter_import() as imported:
        imported.add([line_of(1.0)])
    assert spool.clean_up(now=1001.0, keep=Retention(100.0, 10), limit=1)
    with store.dead_letters() as dead:
        assert [2.0, 1000.0, 1000.0] == sorted(one.at for one in dead.all_in_order(Filter()))
    while spool.clean_up(now=1001.0, keep=Retention(100.0, 10), limit=1):
        pass
    with store.dead_letters() as dead:
        assert [1000.0, 1000.0] == [one.at for one in dead.all_in_order(Filter())]
    assert 2 == len(spool.replayed_lines(limit=10))


def test_the_limit_holds_for_each_kind(store: SpoolStore, spool: Spool) -> None:
    """It limits the dead letters of all webhooks together, and the records for both reasons together."""
    put(spool, *(delivery(f"e{n}") for n in range(4)), delivery("o", address=OTHER), now=1.0)
    for number, item in enumerate(fresh(spool)):
        state = State.DEAD if number == 3 else State.DELIVERED
        spool.settle([settlement(item, state, reason="x")], now=2.0 if number in (0, 3) else 1000.0)
    spool.dead_letter(OTHER, reason="x", now=2.0, without=(), limit=10)
    assert spool.clean_up(now=1001.0, keep=Retention(100.0, 0), limit=1)
    assert (2, 1, 0) == everything_kept(spool, store)
