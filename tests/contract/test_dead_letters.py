"""The conformance suites of admin.DeadLetterStore (queries and actions) and admin.DeadLetterImport."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, OTHER, balanced, fresh, intake, put, put_rejected
from hookline.errors import SpoolUnusable, WrongUse
from hookline.relay.delivery_record import WHOLE_LINE, DeadDelivery, DeadLetter, DeadLine, Line
from hookline.relay.spool.admin import Backlog, Count, Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.postgres.operator_ports.shared_dead_letters import SharedDeadLetters
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import RejectedLine, State
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters


def names(letters: list[DeadLetter]) -> list[str]:
    return [one.body.decode() if isinstance(one, DeadDelivery) else f"line-{one.n}" for one in letters]


@pytest.fixture
def three_and_two(spool: Spool) -> Spool:
    """Deliveries that died at 10, 20 and 40, and two lines that were rejected at 30."""
    put(spool, delivery("a"), delivery("b", channel="sms", status="bounce"), delivery("o", address=OTHER))
    a, b = fresh(spool)
    (o,) = fresh(spool, OTHER)
    for item, now, http in ((o, 10.0, 422), (a, 20.0, 410), (b, 40.0, 422)):
        spool.settle([settlement(item, State.DEAD, reason=f"http {http}", http=http)], now=now)
    put_rejected(spool, b"broken", b"broken too", now=30.0)
    return spool


FILTERS: dict[str, tuple[Filter, list[str]]] = {
    "all": (Filter(), ["b", "line-2", "line-1", "a", "o"]),
    "webhook": (Filter(webhook=OTHER), ["o"]),
    "channel": (Filter(channel="sms"), ["b"]),
    "status": (Filter(status="bounce"), ["b"]),
    "reason": (Filter(reason="410"), ["a"]),
    "reason of a line": (Filter(reason="JSON"), ["line-2", "line-1"]),
    "HTTP status": (Filter(http=422), ["b", "o"]),
    "since": (Filter(since=30.0), ["b", "line-2", "line-1"]),
    "until": (Filter(until=20.0), ["o"]),
    "several": (Filter(http=422, webhook=ACME, since=11.0), ["b"]),
    "ids": (Filter(ids=(delivery("a").id.hex(), "line-2")), ["line-2", "a"]),
    "beginning of an id": (Filter(ids=(delivery("a").id.hex()[:6],)), ["a"]),
    "id and another property": (Filter(ids=("line-2",), webhook=ACME), []),
}


@pytest.mark.parametrize(("chosen", "expected"), FILTERS.values(), ids=FILTERS)
def test_letters_are_found_by_a_filter(
    store: SpoolStore, three_and_two: Spool, chosen: Filter, expected: list[str]
) -> None:
    """The list begins with the newest. The same filter counts the letters, and an export has all of them."""
    with store.dead_letters() as dead:
        assert expected == names(sorted(dead.newest(chosen, limit=9), key=_newest_first))
        assert sorted(expected) == sorted(names(list(dead.all_in_order(chosen))))
        lines = sum(1 for name in expected if name.startswith("line-"))
        assert Count(len(expected) - lines, lines) == dead.count(chosen)
        assert len(expected[:2]) == len(list(dead.newest(chosen, limit=2)))


def test_queries_alone_cannot_write(store: SpoolStore, three_and_two: Spool) -> None:
    """The port of those that only look finds the same letters, and its connection refuses a change."""
    with store.dead_letter_queries() as dead:
        assert ["b", "line-2", "line-1", "a", "o"] == names(sorted(dead.newest(Filter(), limit=9), key=_newest_first))
        if isinstance(dead, SqliteDeadLetters | SharedDeadLetters):
            with pytest.raises(SpoolUnusable, match=r"read-?only"):
                dead.discard(Filter(), now=50.0)
        assert 5 == dead.count(Filter()).total


def _newest_first(letter: DeadLetter) -> tuple[float, int]:
    return -letter.at, -letter.n if isinstance(letter, DeadLine) else 0


def test_the_newest_lines_are_listed(store: SpoolStore, spool: Spool) -> None:
    """An imported line is as old as it was in the other spool."""
    put_rejected(spool, b"new", now=1000.0)
    line = DeadLine(
        n=1, at=1.0, reason="r", source="s", line=1, part=-1, data=b"old", length=3, sha256=b"h" * 32
    )  # fmt: skip
    with store.dead_letter_import() as imported:
        imported.add([line])
    with store.dead_letters() as dead:
        assert [1000.0] == [one.at for one in dead.newest(Filter(), limit=1)]


@pytest.mark.parametrize("identity", ["000000", "line-9", "no id", "abc"])
def test_an_id_that_no_letter_has_is_refused(store: SpoolStore, three_and_two: Spool, identity: str) -> None:
    """An id without a dead letter is refused, and nothing changes."""
    with store.dead_letters() as dead, pytest.raises(WrongUse):
        dead.count(Filter(ids=(identity,)))


def test_a_letter_is_kept_whole(store: SpoolStore, spool: Spool) -> None:
    """A dead letter has its payload, its reason, and all data that a replay or an export needs."""
    put(spool, delivery("a", detail="mailbox full"))
    spool.settle([settlement(fresh(spool)[0], State.DEAD, reason="http 422", http=422)], now=5.0)
    with store.dead_letters() as dead:
        (letter,) = dead.newest(Filter(), limit=1)
    assert DeadDelivery(
        id=delivery("a").id, at=5.0, reason="http 422", http=422, attempts=1, history=None, webhook=ACME,
        request_id="request-a", channel="email", status="sent", event_time=None, detail="mailbox full",
        source="events", line=1, body=b"a",
    ) == letter  # fmt: skip


def test_a_replayed_delivery_is_pending_again_under_its_id(store: SpoolStore, spool: Spool) -> None:
    """Replay keeps the id and the count of attempts, starts a new age, and is exempt from order."""
    put(spool, delivery("a1", order_key=1), delivery("a2", order_key=1))
    (a1,) = fresh(spool)
    spool.settle([settlement(a1, State.DEAD, reason="http 422")], now=5.0)
    assert not spool.changed_by_others()
    with store.dead_letters() as dead:
        assert 1 == dead.replay(Filter(webhook=ACME), now=99.0).deliveries
    assert spool.changed_by_others()
    (again,) = spool.dequeue_due(ACME, now=99.0, limit=10, without=())
    assert (a1.id, 1, 0, 99.0, None) == (again.id, again.attempts, again.tries, again.since, again.order_key)
    assert balanced(spool.tally())


def test_a_replay_can_be_spaced_out(store: SpoolStore, three_and_two: Spool) -> None:
    """With a rate, the first delivery of each webhook is due at once, and the others one after another."""
    with store.dead_letters() as dead:
        dead.replay(Filter(), now=100.0, rate=0.5)
    assert [100.0, 102.0] == [one.due for one in three_and_two.dequeue_due(ACME, now=200.0, limit=9, without=())]
    assert [100.0] == [one.due for one in three_and_two.dequeue_due(OTHER, now=200.0, limit=9, without=())]


def test_a_second_replay_continues_after_the_first(store: SpoolStore, three_and_two: Spool) -> None:
    """The rate holds for both. The time of the first replay that still waits counts, not a retry."""
    put(three_and_two, delivery("retry"))
    (retry,) = fresh(three_and_two)
    three_and_two.settle([settlement(retry, State.PENDING, due=500.0)], now=50.0)
    with store.dead_letters() as dead:
        dead.replay(Filter(http=410), now=100.0, rate=0.5)
        dead.replay(Filter(webhook=ACME), now=101.0, rate=0.5)
    due = three_and_two.dequeue_due(ACME, now=200.0, limit=9, without=())
    assert [(b"a", 100.0), (b"b", 102.0)] == [(one.body, one.due) for one in due]


def test_progress_counts_up_to_the_result(store: SpoolStore, three_and_two: Spool) -> None:
    """The last reported count is the returned count."""
    seen: list[Count] = []
    with store.dead_letters() as dead:
        assert Count(3, 2) == dead.replay(Filter(), now=100.0, on_progress=seen.append)
        assert Count(3, 2) == seen[-1]
        assert Count(0, 0) == dead.replay(Filter(), now=101.0)


def test_a_cut_line_stays(store: SpoolStore, spool: Spool) -> None:
    """A line that is not kept whole is counted as truncated, and cannot be replayed."""
    refused = RejectedLine(Line(1, b"beginning", 9_000_000, b"h" * 32), WHOLE_LINE, "too long")
    put_rejected(spool, b"broken")
    given = msgspec.structs.replace(intake(), position=None, read=1, rejected=[refused])
    spool.enqueue(given, now=0.0, dedupe_window=DAY)
    with store.dead_letters() as dead:
        assert (2, 1) == (dead.count(Filter()).lines, dead.count_truncated(Filter()))
        assert Count(0, 1) == dead.replay(Filter(), now=1.0)
        assert ["line-2"] == names(list(dead.all_in_order(Filter())))


def test_a_discarded_letter_is_gone_and_stays_a_duplicate(store: SpoolStore, spool: Spool) -> None:
    """A discarded letter has no payload. If its event is read again within the window, it is not sent."""
    put(spool, delivery("a"))
    spool.settle([settlement(fresh(spool)[0], State.DEAD, reason="http 422")], now=5.0)
    with store.dead_letters() as dead:
        assert 1 == dead.discard(Filter(reason="422"), now=6.0).deliveries
        assert [] == list(dead.newest(Filter(), limit=10))
    put(spool, delivery("a"), now=7.0)
    assert 1 == spool.tally()["duplicates"]
    assert balanced(spool.tally())


def test_imported_letters_are_the_exported_ones(
    store: SpoolStore, three_and_two: Spool, new_store: Callable[[], SpoolStore]
) -> None:
    """Imported letters keep their ids and exist once. The tally of the other spool does not count them."""
    with store.dead_letters() as dead:
        exported = list(dead.all_in_order(Filter()))
    other = new_store()
    other.create_if_missing(since="now")
    with other.dead_letter_import() as imported:
        assert Count(3, 2) == imported.add(exported)
        assert Count(0, 0) == imported.add(exported)
    with other.dead_letters() as dead:
        assert exported == list(dead.all_in_order(Filter()))
    spool = other.open(since="now")
    assert (0, 0) == (spool.tally().get("dead", 0), spool.tally()["pending"])
    put(spool, delivery("new"))
    assert [b"new"] == [one.body for one in fresh(spool)]
    spool.close()


def test_an_import_beside_a_running_relay(
    store: SpoolStore, three_and_two: Spool, new_store: Callable[[], SpoolStore]
) -> None:
    """The relay numbers its next deliveries as before, and neither side loses one."""
    with store.dead_letters() as dead:
        exported = list(dead.all_in_order(Filter()))
    other = new_store()
    spool = other.open(since="now")
    put(spool, delivery("before"))
    with other.dead_letter_import() as imported:
        imported.add(exported)
    put(spool, *(delivery(f"after-{n}") for n in range(5)))
    assert [b"before", *(b"after-%d" % n for n in range(5))] == [one.body for one in fresh(spool)]
    assert {ACME: Backlog(6, 2), OTHER: Backlog(0, 1)} == other.statistics().backlogs()
    spool.close()


def test_a_known_delivery_is_not_imported(store: SpoolStore, spool: Spool) -> None:
    """An import does not change a pending delivery with the same id."""
    put(spool, delivery("a"))
    letter = DeadDelivery(
        id=delivery("a").id, at=1.0, reason="x", http=None, attempts=3, history=None, webhook=ACME,
        request_id="r", channel="email", status="sent", event_time=None, detail=None, source="s", line=1, body=b"{}",
    )  # fmt: skip
    with store.dead_letter_import() as imported:
        assert Count(0, 0) == imported.add([letter])
    assert [b"a"] == [one.body for one in fresh(spool)]


def test_without_a_spool(store: SpoolStore) -> None:
    """A query does not create a spool."""
    with pytest.raises(SpoolUnusable, match="spool not found"), store.dead_letters():
        pass
