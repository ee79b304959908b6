"""The embedded spool when the machine's clock is set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.spool_stores import ACME, DAY, balanced, delivery, end, fresh, intake, put
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.letters import DeadLetters
from hookline.relay.spool.port import Retention, Spool, State
from hookline.relay.spool.sqlite import SqliteSpool

Open = Callable[[Path], Spool]


@pytest.fixture
def opened() -> Open:
    return lambda directory: SqliteSpool(directory, since="now")


@pytest.fixture
def spool(opened: Open, tmp_path: Path) -> Iterator[Spool]:
    one = opened(tmp_path / "spool")
    yield one
    one.close()


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
