"""The conformance suite of admin.SpoolStatistics."""

from __future__ import annotations

import os
import socket

import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import OTHER, fresh, intake, put, put_rejected
from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.observe.snapshot import AgeGroup, RelayStatus, SpoolStatus, WebhookStatus
from hookline.relay.spool.admin import Backlog, Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import EndpointState, State


def status(store: SpoolStore, now: float) -> SpoolStatus:
    return store.statistics().spool_status(now=now)


def of(facts: SpoolStatus, address: Address = ACME) -> WebhookStatus:
    return next(one for one in facts.webhooks if one.webhook == str(address))


def test_each_webhook_by_itself(store: SpoolStore, spool: Spool) -> None:
    """The backlog, the age of the oldest and the dead letters are per webhook; the tally is for the whole spool."""
    put(spool, delivery("a"), delivery("b"), now=100.0)
    put(spool, delivery("c", address=OTHER), now=130.0)
    spool.settle([settlement(fresh(spool)[0], State.DEAD, reason="x")], now=131.0)
    facts = status(store, 160.0)
    assert (1, 60.0, 1) == (of(facts).pending, of(facts).oldest, of(facts).dead)
    assert (1, 30.0, 0) == (of(facts, OTHER).pending, of(facts, OTHER).oldest, of(facts, OTHER).dead)
    assert {"read": 3, "pending": 2, "dead": 1}.items() <= facts.tally.items()
    assert 60.0 == facts.oldest
    assert {ACME: Backlog(1, 1), OTHER: Backlog(1, 0)} == store.statistics().backlogs()


def test_the_checkpoints(store: SpoolStore, spool: Spool) -> None:
    """The acknowledged position of each source, and its time."""
    spool.enqueue(intake(line=7), now=130.0, dedupe_window=1.0)
    assert [("events", 7, 70, 130.0)] == [
        (one.name, one.line, one.offset, one.at) for one in status(store, 160.0).checkpoints
    ]


def test_an_empty_spool(store: SpoolStore, spool: Spool) -> None:
    """A new webhook has no backlog and no oldest delivery."""
    facts = status(store, 1.0)
    assert (0, None, None, []) == (facts.tally["pending"], facts.oldest, facts.oldest_record, list(facts.webhooks))
    assert ({}, {}) == (store.statistics().backlogs(), store.statistics().endpoint_states())


def test_age_stands_still_while_held(store: SpoolStore, spool: Spool) -> None:
    """The time for which an operator pauses a webhook does not make its events older."""
    put(spool, delivery("a"), now=100.0)
    with store.webhook_control() as control:
        control.pause(ACME, now=110.0)
        assert (10.0, 110.0) == (of(status(store, 500.0)).oldest, of(status(store, 500.0)).paused)
        assert {ACME: EndpointState(paused=110.0)} == store.statistics().endpoint_states()
        control.resume(ACME, now=600.0)
    assert 15.0 == of(status(store, 605.0)).oldest


def test_a_replay_does_not_hide_an_older_one(store: SpoolStore, spool: Spool) -> None:
    """A replayed delivery keeps its place in the order, and its age starts again: the oldest comes after it."""
    put(spool, delivery("dead"), now=100.0)
    spool.settle([settlement(fresh(spool)[0], State.DEAD, reason="x")], now=101.0)
    put(spool, delivery("old"), now=200.0)
    with store.dead_letters() as dead:
        dead.replay(Filter(), now=290.0)
    assert 100.0 == of(status(store, 300.0)).oldest


def test_many_replays_do_not_hide_a_never_attempted_one(store: SpoolStore, spool: Spool) -> None:
    """The oldest delivery that was never attempted is found behind any number of replayed ones."""
    put(spool, *(delivery(f"d{n}") for n in range(300)), now=100.0)
    spool.dead_letter(ACME, reason="test", now=101.0, without=(), limit=1000)
    put(spool, delivery("old"), now=200.0)
    with store.dead_letters() as dead:
        dead.replay(Filter(), now=290.0)
    assert (301, 100.0) == (of(status(store, 300.0)).pending, of(status(store, 300.0)).oldest)


def test_records_and_their_age(store: SpoolStore, spool: Spool) -> None:
    """The number of records of settled deliveries, and the age of the oldest."""
    put(spool, delivery("a"), delivery("b"), now=100.0)
    a, b = fresh(spool)
    spool.settle([settlement(a)], now=110.0)
    spool.settle([settlement(b)], now=120.0)
    facts = status(store, 160.0)
    assert (2, 50.0) == (facts.records, facts.oldest_record)
    assert "records" not in facts.tally


def test_rejected_lines_that_are_kept(store: SpoolStore, spool: Spool) -> None:
    """Rejected lines are counted as in `dead list`: without discarded and replayed ones."""
    put_rejected(spool, *(b"{%d" % n for n in range(5)), now=1.0)
    with store.dead_letters() as dead:
        dead.discard(Filter(ids=("line-1",)), now=2.0)
        dead.replay(Filter(ids=("line-2",)), now=2.0)
        assert (3, 3) == (status(store, 3.0).lines, dead.count(Filter()).lines)
    assert 5 == status(store, 3.0).tally["rejected"]


def test_without_a_spool(store: SpoolStore) -> None:
    """A missing spool is an error for its status; the other calls return a default."""
    with pytest.raises(SpoolUnusable, match="spool not found"):
        status(store, 0.0)
    statistics = store.statistics()
    assert (None, {}, []) == (
        statistics.backlogs(),
        statistics.endpoint_states(),
        list(statistics.processes().processes),
    )


# -- the relay that holds the spool


def relay_facts(at: float) -> RelayStatus:
    return RelayStatus(version="1", process=os.getpid(), started=1.0, at=at)


def test_the_relay_that_holds_the_spool(store: SpoolStore) -> None:
    """A spool that a relay uses shows it by name, and its latest status; a released one shows neither."""
    spool = store.open(since="2026-05-18T17:01:25+00:00")
    (starting,) = store.statistics().processes().processes
    assert starting.status is None
    if store.shared:
        assert (socket.gethostname(), os.getpid()) == (starting.host, starting.pid)
    else:
        assert f"process {os.getpid()} since 2026-05-18T17:01:25+00:00" == starting.holder
    publisher = store.status_publisher()
    publisher.publish(relay_facts(2.0))
    publisher.publish(relay_facts(3.0))
    (shown,) = store.statistics().processes().processes
    assert shown.status is not None
    assert (starting.holder, starting.pid) == (shown.holder, shown.pid)
    assert (os.getpid(), 3.0) == (shown.status.process, shown.status.at)
    publisher.withdraw()
    spool.close()
    assert [] == list(store.statistics().processes().processes)


def test_nothing_is_published_after_the_end(store: SpoolStore, spool: Spool) -> None:
    """A thread that is still publishing when the relay ends leaves nothing behind."""
    publisher = store.status_publisher()
    publisher.publish(relay_facts(2.0))
    publisher.withdraw()
    publisher.publish(relay_facts(3.0))
    assert [None] == [one.status for one in store.statistics().processes().processes]


def test_the_backlog_by_age(store: SpoolStore, spool: Spool) -> None:
    """The pending deliveries in groups of age, the oldest first; the latest planned retry."""
    for name, at in (("a", 0.0), ("b", 100.0), ("c", 3_000.0), ("d", 3_590.0), ("e", 3_600.0)):
        put(spool, delivery(name), now=at)
    spool.settle([settlement(fresh(spool)[1], State.PENDING, reason="x", due=9_000.0)], now=3_600.0)
    found = of(status(store, 3_600.0))
    assert (AgeGroup(1, 3_600.0, 3_600.0), AgeGroup(1, 3_600.0, 1_800.0)) == tuple(found.ages)[:2]
    assert (AgeGroup(1, 900.0, 300.0), AgeGroup(2, 60.0, 0.0)) == tuple(found.ages)[2:]
    assert (5, 9_000.0) == (sum(group.deliveries for group in found.ages), found.last_due)


def test_a_clock_that_was_set_back_makes_no_negative_age(store: SpoolStore, spool: Spool) -> None:
    """A delivery that is read in the future has the age 0."""
    put(spool, delivery("a"), now=500.0)
    assert (AgeGroup(1, 0.0, 0.0),) == tuple(of(status(store, 100.0)).ages)
