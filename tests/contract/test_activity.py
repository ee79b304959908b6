"""The conformance suite of the ring of minutes: MaintenanceSpool.record_activity and SpoolStatistics.activity."""

from __future__ import annotations

import pytest

from builders import ACME
from contract.spool_stores import OTHER
from hookline.model import Address
from hookline.relay.spool import activity
from hookline.relay.spool.activity import RING_MINUTES, MinuteActivity
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool


def row(minute: int, address: Address | None = ACME, accepted: int = 1, failed: int = 0) -> MinuteActivity:
    return MinuteActivity(minute, address, accepted, failed, 0.2, 0.9, 5, busy_seconds=2.0)


def test_a_minute_is_kept_across_runs(store: SpoolStore) -> None:
    """Each row is read as it was written, by minute and address, also after the relay has ended."""
    rows = [row(100, ACME), row(100, OTHER), row(101, ACME)]
    spool = store.open(since="now")
    spool.record_activity([rows[1], rows[0]])
    spool.record_activity([rows[2]])
    assert rows == store.statistics().activity(100)
    spool.close()
    reopened = store.open(since="later")
    assert rows[2:] == store.statistics().activity(101)
    reopened.close()


def test_parts_of_a_minute_are_one_row(store: SpoolStore, spool: Spool) -> None:
    """A relay that starts again in the same minute adds to the row. The latest backlog counts."""
    spool.record_activity([MinuteActivity(7, ACME, 3, 1, 0.1, 0.5, 9, 1.0)])
    spool.record_activity([MinuteActivity(7, ACME, 8, 4, 0.5, 0.4, 2, 3.0), row(7, OTHER)])
    first, second = store.statistics().activity(7)
    assert (11, 5, 2, 4.0, 0.5) == (
        first.accepted, first.failed, first.pending, first.busy_seconds, first.p99_seconds,
    )  # fmt: skip
    assert first.median_seconds == pytest.approx(0.4)
    assert row(7, OTHER) == second


def test_a_minute_without_attempts(store: SpoolStore, spool: Spool) -> None:
    """A backlog that changes while nothing is sent has a row, without durations."""
    idle = MinuteActivity(7, ACME, 0, 0, None, None, 12)
    spool.record_activity([idle])
    assert [idle] == store.statistics().activity(0)
    spool.record_activity([row(7)])
    assert 0.2 == store.statistics().activity(0)[0].median_seconds


def test_the_ring_has_one_day(store: SpoolStore, spool: Spool) -> None:
    """A minute that is recorded removes the ones for which the ring has no room."""
    for minute in (1, 2, RING_MINUTES, RING_MINUTES + 1):
        spool.record_activity([row(minute)])
    assert [2, RING_MINUTES, RING_MINUTES + 1] == [one.minute for one in store.statistics().activity(0)]


def test_a_clock_that_was_set_back(store: SpoolStore, spool: Spool) -> None:
    """Minutes of the future are removed, except a few that another machine's clock may have reached."""
    for minute in (5000, 1006, 1005, 1000):
        spool.record_activity([row(minute)])
    assert [1000, 1005] == [one.minute for one in store.statistics().activity(0)]


def test_the_rest_is_summed(store: SpoolStore, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute has rows for the most active webhooks, and one with the sum of the others. Known ones keep theirs."""
    monkeypatch.setattr(activity, "MAX_ACTIVE_WEBHOOKS", 2)
    names = [Address("acme", f"s{n}") for n in range(4)]
    spool.record_activity([row(7, one, accepted=n + 1) for n, one in enumerate(names)])
    assert [(names[2], 3), (names[3], 4), (None, 3)] == _accepted(store)
    assert 10 == store.statistics().activity(7)[-1].pending
    spool.record_activity([row(7, names[0], accepted=50), row(7, names[2])])
    assert [(names[2], 4), (names[3], 4), (None, 53)] == _accepted(store)


def _accepted(store: SpoolStore) -> list[tuple[Address | None, int]]:
    return [(one.address, one.accepted) for one in store.statistics().activity(7)]


def test_a_spool_that_does_not_exist(store: SpoolStore) -> None:
    """It has no activity."""
    assert [] == store.statistics().activity(0)
