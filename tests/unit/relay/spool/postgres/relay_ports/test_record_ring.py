"""The cleanup of a shared spool: the ring of records, and the counts, on a real server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from builders import delivery, settlement
from contract.spool_stores import DAY, balanced, fresh, put
from hookline.relay.spool.postgres.relay_ports import record_ring
from hookline.relay.spool.postgres.relay_ports.postgres_spool import PostgresSpool
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.spool_values import Retention

Join = Callable[[], PostgresSpool]
SHARE = 20


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions with few records."""
    monkeypatch.setattr(record_ring, "MIN_RECORDS_PER_PARTITION", SHARE)


def deliver(spool: PostgresSpool, first: int, *, now: float) -> None:
    """Deliver SHARE events."""
    put(spool, *(delivery(f"e{n}") for n in range(first, first + SHARE)), now=now)
    spool.settle([settlement(item) for item in fresh(spool)], now=now)


def clean_up(spool: PostgresSpool, *, records: int, now: float = 1000.0, limit: int = 5) -> bool:
    return spool.clean_up(now=now, keep=Retention(DAY, records), limit=limit)


def records(spool: PostgresSpool) -> tuple[int, int]:
    """The number of records, as counted and in the tables."""
    return spool.tally()["records"], spool._connection.query("SELECT count(*) FROM spool.record")[0][0]


def test_records_above_the_largest_number_go_by_whole_partitions(owner: PostgresSpool) -> None:
    """The oldest partition is truncated when more records are too many than one call removes. Its events are unknown
    afterwards, and those of the others are duplicates."""
    for number in range(5):
        deliver(owner, number * SHARE, now=float(number))
        assert not clean_up(owner, records=7 * SHARE)
    assert (5 * SHARE, 5 * SHARE) == records(owner)
    assert clean_up(owner, records=4 * SHARE - 1)
    assert (4 * SHARE, 4 * SHARE) == records(owner)
    assert not clean_up(owner, records=4 * SHARE - 1)  # one record is removed by itself
    assert (4 * SHARE - 1, 4 * SHARE - 1) == records(owner)
    put(owner, delivery("e0"), delivery(f"e{5 * SHARE - 1}"), now=7.0)
    assert (1, 1) == (owner.tally()["pending"], owner.tally()["duplicates"])
    assert balanced(owner.tally())


def test_the_ring_turns_for_ever(owner: PostgresSpool) -> None:
    """More partitions are begun than exist: an old one is used again."""
    for number in range(20):
        deliver(owner, number * SHARE, now=float(number))
        while clean_up(owner, records=3 * SHARE):
            pass
        counted, stored = records(owner)
        assert counted == stored <= 3 * SHARE
    periods = owner._connection.query("SELECT period FROM spool.record_period")
    assert 2 <= len(periods) <= 4
    assert 20 * SHARE == owner.tally()["delivered"]


def test_a_session_that_reads_old_records_delays_nobody(store: SharedStore, owner: PostgresSpool) -> None:
    """The partition cannot be truncated while another session reads it. The cleanup removes some records one by one,
    and ingest goes on."""
    for number in range(3):
        deliver(owner, number * SHARE, now=float(number))
        clean_up(owner, records=7 * SHARE)
    reader = store.connection()
    with reader.transaction() as held:
        held.execute(reader.sql("SELECT count(*) FROM spool.record"))
        assert clean_up(owner, records=SHARE)
        assert (3 * SHARE - 5, 3 * SHARE - 5) == records(owner)
        deliver(owner, 3 * SHARE, now=5.0)
    while clean_up(owner, records=SHARE, limit=10):
        pass
    reader.close()
    counted, stored = records(owner)
    assert counted == stored <= SHARE


def test_the_counts_are_folded(store: SharedStore, owner: PostgresSpool, join: Join) -> None:
    """The owner of slot 0 moves the changes into the counts. A change that another process commits late is counted
    afterwards, and the sum is right at every moment."""
    other = join()
    deliver(owner, 0, now=1.0)
    before = owner.tally()
    writer = store.connection()
    with writer.transaction() as held:
        held.execute(writer.sql("INSERT INTO spool.tally_change (name, count) VALUES ('attempts', 3)"))
        clean_up(other, records=7 * SHARE)
        clean_up(owner, records=7 * SHARE)  # it does not wait for the writer
        assert before == owner.tally()
    clean_up(owner, records=7 * SHARE)
    changes = owner._connection.query("SELECT count(*) FROM spool.tally_change")
    assert ([(0,)], {**before, "attempts": before["attempts"] + 3}) == (changes, other.tally())
    writer.close()
    deliver(other, SHARE, now=2.0)
    deliver(owner, SHARE, now=2.0)
    assert 2 * SHARE == owner.tally()["delivered"]


def test_only_one_process_cleans_up(owner: PostgresSpool, join: Join) -> None:
    """The owner of slot 0. A process that does not know yet that it lost the slot removes nothing."""
    deliver(owner, 0, now=1.0)
    other = join()
    assert not clean_up(other, records=0)
    remembered = owner.leases.owned
    owner.leases.release([0])
    owner.leases.owned = remembered
    assert not clean_up(owner, records=0)
    assert (SHARE, SHARE) == records(owner)
