"""Leases of slots on a real server: who owns what after processes join, leave, die, sleep and wake."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

from hookline.errors import SpoolStalled
from hookline.relay.spool.postgres import slot_leases
from hookline.relay.spool.postgres.lease_statements import FENCE, READER_FENCE, TAKE
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slot_leases import SlotLeases, fair_share
from postgres_server import shared_server

SLOTS = 64
Join = Callable[[], SlotLeases]


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the processes' machine."""
    clock = Clock()
    monkeypatch.setattr(slot_leases, "boot_clock", clock)
    return clock


@pytest.fixture
def database() -> str:
    return shared_server().new_database()


@pytest.fixture
def store(database: str) -> SharedStore:
    store = SharedStore(shared_server().url(database))
    store.create(slots=SLOTS)
    return store


@pytest.fixture
def join(store: SharedStore) -> Iterator[Join]:
    """Start a process."""
    started: list[SlotLeases] = []

    def start() -> SlotLeases:
        started.append(store.leases())
        started[-1].join()
        return started[-1]

    yield start
    for leases in started:
        leases._connection.close()


@pytest.fixture
def execute(database: str) -> Callable[..., list[tuple[object, ...]]]:
    return lambda statement: shared_server().execute(database, statement.replace("spool.", "hookline_spool."))


Execute = Callable[[str], list[tuple[object, ...]]]


def let_expire(execute: Execute, leases: SlotLeases) -> None:
    """The lease of a process is over by the server's clock."""
    execute(f"UPDATE spool.process SET expires = clock_timestamp() WHERE token = '{leases.token}'")


def settle_down(*processes: SlotLeases) -> list[int]:
    """Let the processes rebalance and give up their surplus until nothing moves any more; the slots of each."""
    while True:
        before = [dict(process.owned) for process in processes]
        for process in processes:
            process.renew()
            membership = process.rebalance()
            surplus = len(membership.owned) - membership.target
            if surplus > 0:
                process.release(sorted(membership.owned)[-surplus:])
        if before == [dict(process.owned) for process in processes]:
            return [len(process.owned) for process in processes]


def moved(before: dict[int, uuid.UUID], after: dict[int, uuid.UUID]) -> int:
    return sum(before[slot] != after[slot] for slot in before)


def owners(execute: Execute) -> dict[int, uuid.UUID]:
    return dict(execute("SELECT slot, process FROM spool.slot"))  # type: ignore[arg-type]


def test_shares_are_fair_at_each_step(join: Join, execute: Execute) -> None:
    """Each living process owns ⌊slots / processes⌋ or ⌈slots / processes⌉; who joins or leaves moves no more."""
    processes: list[SlotLeases] = []
    for number in range(1, 8):
        before = owners(execute)
        processes.append(join())
        owned = settle_down(*processes)
        assert SLOTS == sum(owned)
        assert {SLOTS // number, -(-SLOTS // number)} >= set(owned)
        assert owned[-1] == moved(before, owners(execute)) == SLOTS // number
    for place in (0, 3, 4, 1):
        before, leaving = owners(execute), processes.pop(place)
        given_up = len(leaving.owned)
        leaving.leave()
        owned = settle_down(*processes)
        assert SLOTS == sum(owned)
        assert {SLOTS // len(processes), -(-SLOTS // len(processes))} >= set(owned)
        assert given_up == moved(before, owners(execute))


@pytest.mark.parametrize("slots", [1, 5, 64])
def test_shares_add_up(slots: int) -> None:
    """The shares of all processes are all slots, also if there are more processes than slots."""
    for processes in range(1, 2 * slots + 2):
        shares = [fair_share(rank, processes, slots) for rank in range(processes)]
        assert slots == sum(shares)
        assert max(shares) - min(shares) <= 1


def test_a_dead_process_is_replaced(join: Join, execute: Execute) -> None:
    """The slots of a process whose lease is over go to the others with larger epochs, and its row is removed."""
    first, second = join(), join()
    settle_down(first, second)
    old = dict(first.owned)
    let_expire(execute, first)
    assert [SLOTS] == settle_down(second)
    assert all(second.owned[slot] > epoch for slot, epoch in old.items())
    assert [(1,)] == execute("SELECT count(*) FROM spool.process")
    assert not first.renew()
    assert not first.is_valid
    assert {} == first.owned


def test_a_process_without_successor_keeps_its_slots(join: Join, execute: Execute) -> None:
    """A lease that was over, but of which nobody has taken anything, is renewed: after an outage nothing moves."""
    first = join()
    settle_down(first)
    owned = dict(first.owned)
    let_expire(execute, first)
    assert first.renew()
    assert owned == first.rebalance().owned


def test_the_first_process_after_an_outage_waits_for_the_others(join: Join, execute: Execute, clock: Clock) -> None:
    """A process whose own lease was over until now takes nothing of the others for half a lease."""
    first, second = join(), join()
    settle_down(first, second)
    clock.now += 60
    for leases in (first, second):
        let_expire(execute, leases)
    assert first.renew()
    assert 32 == len(first.rebalance().owned)
    assert second.renew()
    assert 32 == len(second.rebalance().owned)
    let_expire(execute, second)
    clock.now += 4.9
    assert first.renew()
    assert 32 == len(first.rebalance().owned)
    clock.now += 0.2
    assert first.renew()
    assert 64 == len(first.rebalance().owned)


def test_a_lease_is_counted_from_before_it_was_sent(
    join: Join, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner stops a fifth of the lease before its end, counted from the moment before the renewal was sent."""
    leases = join()
    query = leases._connection.query

    def slow(statement: str, parameters: object = ()) -> object:
        clock.now += 3
        return query(statement, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(leases._connection, "query", slow)
    assert leases.renew()
    assert 5.0 == pytest.approx(leases.valid_seconds)
    clock.now += 5
    assert not leases.is_valid


def test_a_process_that_wakes_takes_nothing(store: SharedStore, join: Join, execute: Execute) -> None:
    """A process that was stopped just before it took slots, and was replaced since, leaves no slot to nobody."""
    sleeping, other = join(), join()
    query, woken = sleeping._connection.query, []

    def wake(statement: str, parameters: object = ()) -> object:
        if statement == TAKE:
            let_expire(execute, sleeping)
            woken.append(other.rebalance().target)
        return query(statement, parameters)  # type: ignore[arg-type]

    sleeping._connection.query = wake  # type: ignore[method-assign,assignment]
    assert {} == sleeping.rebalance().owned
    assert [SLOTS] == woken
    assert [SLOTS] == settle_down(other)


def test_a_dead_process_takes_no_reader(join: Join, execute: Execute) -> None:
    """A process whose lease is over does not become a reader: nobody would free its sources."""
    leases = join()
    let_expire(execute, leases)
    assert not leases.take_reader("logs")
    assert leases.renew()
    assert leases.take_reader("logs")


def test_a_standby_becomes_the_reader(join: Join, execute: Execute) -> None:
    """One process at a time reads the sources of a name; the standby follows with a larger epoch."""
    first, standby = join(), join()
    assert first.take_reader("logs")
    assert first.take_reader("logs")
    assert 1 == first.reader_epoch
    assert not standby.take_reader("logs")
    let_expire(execute, first)
    standby.rebalance()
    assert standby.take_reader("logs")
    assert 3 == standby.reader_epoch  # given up, and taken


def test_leaving_frees_everything_at_once(join: Join, execute: Execute) -> None:
    """After `leave`, no slot and no reader waits for the end of a lease."""
    leases = join()
    settle_down(leases)
    assert leases.take_reader("logs")
    leases.leave()
    assert [(0,)] == execute("SELECT count(*) FROM spool.slot WHERE process IS NOT NULL")
    assert [(0,)] == execute("SELECT count(*) FROM spool.reader WHERE process IS NOT NULL")
    assert [(0,)] == execute("SELECT count(*) FROM spool.process")
    assert not leases.is_valid


def test_a_settlement_in_progress_delays_only_its_slot(
    store: SharedStore, join: Join, database: str, execute: Execute
) -> None:
    """While a settlement holds the fence of a slot, a takeover does not wait: it takes the other slots."""
    first, second = join(), join()
    settle_down(first)
    with psycopg.connect(shared_server().url(database)) as settling:
        fence = FENCE.replace("spool.", "hookline_spool.").encode()
        assert [(7,)] == settling.execute(fence, ([7], [first.owned[7]], first.token)).fetchall()
        let_expire(execute, first)
        second.rebalance()
        assert set(range(SLOTS)) - {7} == second.owned.keys()
        assert not first.renew()
        assert [(7, first.token)] == execute("SELECT slot, process FROM spool.slot WHERE slot = 7")
        settling.commit()
    assert SLOTS == len(second.rebalance().owned)
    assert [(1,)] == execute("SELECT count(*) FROM spool.process")


def test_a_slot_is_given_up_after_its_settlement(store: SharedStore, join: Join, database: str) -> None:
    """`release` leaves a slot to its owner while one of its settlements is in progress."""
    leases = join()
    settle_down(leases)
    with psycopg.connect(shared_server().url(database)) as settling:
        fence = FENCE.replace("spool.", "hookline_spool.").encode()
        settling.execute(fence, ([7], [leases.owned[7]], leases.token))
        leases.release([7, 8])
        assert 7 in leases.owned
        assert 8 not in leases.owned
    leases.release([7])
    assert 7 not in leases.owned


def test_a_reader_in_a_transaction_is_not_replaced(join: Join, database: str, execute: Execute) -> None:
    """A standby does not wait for the transaction of a reader, and follows after it."""
    first, standby = join(), join()
    assert first.take_reader("logs")
    with psycopg.connect(shared_server().url(database)) as storing:
        fence = READER_FENCE.replace("spool.", "hookline_spool.").encode()
        assert [(1,)] == storing.execute(fence, ("logs", 1, first.token)).fetchall()
        let_expire(execute, first)
        standby.rebalance()
        assert not standby.take_reader("logs")
    standby.rebalance()
    assert standby.take_reader("logs")


def test_processes_that_join_at_once_share_everything(join: Join, execute: Execute) -> None:
    """Four processes rebalance at the same time, again and again: no slot has two owners, and none is without."""
    processes = [join() for _ in range(4)]
    begin = threading.Barrier(4)

    def work(leases: SlotLeases) -> None:
        begin.wait()
        for _ in range(20):
            leases.renew()
            membership = leases.rebalance()
            leases.release(sorted(membership.owned)[membership.target :])

    threads = [threading.Thread(target=work, args=(leases,)) for leases in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [16, 16, 16, 16] == settle_down(*processes)
    assert owners(execute) == {slot: leases.token for leases in processes for slot in leases.owned}


def test_a_lease_that_is_over_takes_nothing(join: Join, execute: Execute) -> None:
    """`rebalance` without a lease raises SpoolStalled, so that the caller renews it first."""
    leases = join()
    let_expire(execute, leases)
    with pytest.raises(SpoolStalled, match="is over"):
        leases.rebalance()


def test_another_isolation_level_of_the_database_changes_nothing(database: str, join: Join, execute: Execute) -> None:
    """Leases need a new snapshot for each statement. They ask for it, whatever the database's default is."""
    execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    first, second = join(), join()
    settle_down(first, second)
    let_expire(execute, first)
    assert [SLOTS] == settle_down(second)
    with second._connection.transaction() as connection:
        assert ("read committed",) == connection.execute("SHOW transaction_isolation").fetchone()
