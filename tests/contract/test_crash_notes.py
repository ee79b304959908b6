"""The conformance suite of crash_notes.CrashNotes."""

from __future__ import annotations

import msgspec

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, balanced, bodies, fresh, intake, put
from hookline.observe.snapshot import CrashStatus
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.crash_notes import CRASHED, CrashNote, source_work
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import Retention, State

EVENTS = source_work("events")


def crash(store: SpoolStore, *works: str, now: float = 1.0) -> None:
    """A relay that starts these works, and ends without a word."""
    spool = store.open(since="now")
    for work in works:
        spool.count_start(work, now=now)
    spool.close()


def test_starts_without_progress_are_counted(store: SpoolStore) -> None:
    """Each work has a count of its own, which `status` shows."""
    crash(store, EVENTS)
    crash(store, EVENTS, source_work("other"))
    spool = store.open(since="now")
    assert CrashNote(2) == spool.count_start(EVENTS, now=2.0)
    status = store.statistics().spool_status(now=2.0)
    assert [CrashStatus(work=EVENTS, starts=3), CrashStatus(work=source_work("other"), starts=1)] == status.crashes
    spool.close()


def test_progress_of_a_source_ends_its_count(store: SpoolStore) -> None:
    """The transaction of the lines does it. Lines of another source do not."""
    crash(store, EVENTS)
    spool = store.open(since="now")
    spool.count_start(EVENTS, now=2.0)
    spool.enqueue(intake(delivery("a")), now=2.0, dedupe_window=DAY)
    spool.close()
    crash(store)
    spool = store.open(since="now")
    assert 2 == spool.count_start(EVENTS, now=3.0).crashes
    progress = msgspec.structs.replace(intake(delivery("b"), line=2), progress_of=EVENTS)
    spool.enqueue(progress, now=3.0, dedupe_window=DAY)
    spool.close()
    spool = store.open(since="now")
    assert CrashNote() == spool.count_start(EVENTS, now=4.0)
    spool.close()


def test_a_result_ends_the_count_of_its_slot(store: SpoolStore) -> None:
    """So does a retry, also in a run that has not counted the slot's start. Reading continues to count."""
    spool = store.open(since="now")
    put(spool, delivery("a"))
    slot = spool.work_of(ACME)
    spool.count_start(slot, now=1.0)
    spool.count_start(EVENTS, now=1.0)
    spool.close()
    spool = store.open(since="now")
    spool.settle([settlement(fresh(spool)[0], State.PENDING, reason="http 503", due=9.0)], now=2.0)
    spool.close()
    spool = store.open(since="now")
    assert (0, 1) == (spool.count_start(slot, now=3.0).crashes, spool.count_start(EVENTS, now=3.0).crashes)
    spool.close()


def test_a_relay_that_ends_on_its_own_has_not_crashed(store: SpoolStore) -> None:
    """Its starts do not count. Earlier crashes do: it may have ended before it came to the same line."""
    crash(store, EVENTS)
    crash(store, EVENTS)
    spool = store.open(since="now")
    spool.count_start(EVENTS, now=2.0)
    spool.forget_starts()
    spool.close()
    spool = store.open(since="now")
    assert 2 == spool.count_start(EVENTS, now=3.0).crashes
    spool.close()


def test_the_item_in_hand_at_a_crash_is_remembered(store: SpoolStore) -> None:
    """Also after another crash, and after a run that ended on its own, until the work makes progress."""
    for item in (b"2", b"1"):
        spool = store.open(since="now")
        spool.count_start(EVENTS, now=1.0)
        spool.take_in_hand(EVENTS, b"0")
        spool.take_in_hand(EVENTS, item)
        spool.close()
    spool = store.open(since="now")
    assert CrashNote(2, (b"1", b"2")) == spool.count_start(EVENTS, now=2.0)
    spool.take_in_hand(EVENTS, b"3")
    spool.take_in_hand(EVENTS, None)
    spool.forget_starts()
    spool.close()
    spool = store.open(since="now")
    assert CrashNote(2, (b"1", b"2")) == spool.count_start(EVENTS, now=3.0)
    spool.enqueue(msgspec.structs.replace(intake(delivery("a")), progress_of=EVENTS), now=3.0, dedupe_window=DAY)
    spool.close()
    spool = store.open(since="now")
    assert CrashNote() == spool.count_start(EVENTS, now=4.0)
    spool.close()


def test_an_item_is_noted_after_the_progress_of_its_work(store: SpoolStore) -> None:
    """A work is read carefully for some time after its first progress."""
    spool = store.open(since="now")
    spool.count_start(EVENTS, now=1.0)
    spool.enqueue(msgspec.structs.replace(intake(delivery("a")), progress_of=EVENTS), now=1.0, dedupe_window=DAY)
    spool.take_in_hand(EVENTS, b"1")
    spool.clean_up(now=2.0, keep=Retention(DAY, 10), limit=10)
    spool.close()
    spool = store.open(since="now")
    assert CrashNote(0, (b"1",)) == spool.count_start(EVENTS, now=2.0)
    spool.close()


def test_a_delivery_in_hand_at_a_crash_becomes_a_dead_letter(store: SpoolStore) -> None:
    """Its successor may be sent. A delivery that was settled before the crash keeps its result."""
    spool = store.open(since="now")
    put(spool, *(delivery(name, order_key=1) for name in ("settled", "fatal", "next")))
    slot = spool.work_of(ACME)
    for _ in range(2):
        (item,) = fresh(spool)
        spool.count_start(slot, now=1.0)
        spool.take_in_hand(slot, item.id)
        if item.body == b"settled":
            spool.settle([settlement(item)], now=1.0)
        spool.close()
        spool = store.open(since="now")
    assert 2 == len(spool.count_start(slot, now=2.0).items)
    assert (1, 0) == (spool.dead_letter_crashed(slot, now=2.0), spool.dead_letter_crashed(slot, now=2.0))
    assert [b"next"] == bodies(fresh(spool))
    assert (1, 1, 1) == tuple(spool.tally()[what] for what in ("delivered", "dead", "pending"))
    assert balanced(spool.tally())
    with store.dead_letters() as dead:
        assert [(CRASHED, 2.0)] == [(one.reason, one.at) for one in dead.newest(Filter(reason=CRASHED), limit=9)]
    spool.close()


def test_the_work_of_a_source_that_no_longer_exists_is_forgotten(store: SpoolStore, spool: Spool) -> None:
    """After the retention: otherwise a note would remain for ever."""
    spool.count_start(EVENTS, now=1.0)
    spool.count_start(source_work("other"), now=50.0)
    spool.clean_up(now=102.0, keep=Retention(100.0, 10), limit=10)
    status = store.statistics().spool_status(now=102.0)
    assert [source_work("other")] == [one.work for one in status.crashes]
