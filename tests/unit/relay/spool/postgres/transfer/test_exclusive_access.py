"""A shared spool is either moved, or used by processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.move_contents import NOW, fill
from hookline.errors import SpoolStalled, SpoolUnusable
from hookline.relay.spool.postgres.lease_statements import JOIN, LOCK_JOINS
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from postgres_server import new_state
from waiting import wait_until

SLOTS = 4
TOKEN = "00000000-0000-0000-0000-000000000001"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def store() -> SharedStore:
    store = SharedStore(new_state())
    store.create(slots=SLOTS)
    return store


@pytest.fixture
def join(store: SharedStore) -> Iterator[Callable[[], SlotLeases]]:
    """Another process joins, and takes what is free."""
    opened: list[SlotLeases] = []

    def joined() -> SlotLeases:
        leases = store.leases()
        opened.append(leases)
        leases.join()
        leases.rebalance()
        return leases

    yield joined
    for leases in opened:
        leases._connection.close()


def test_no_process_joins_during_a_move(store: SharedStore, join: Callable[[], SlotLeases]) -> None:
    """Not even one whose lease has ended. After the move it can."""
    with store.move_source(since="now"), pytest.raises(SpoolUnusable, match=r"is being moved by process \d+ on"):
        join()
    assert 4 == len(join().owned)


def test_no_move_begins_while_a_process_lives(store: SharedStore, join: Callable[[], SlotLeases]) -> None:
    """The message names it. A process that was killed counts until its lease is over, and loses its slots then."""
    leases = join()
    with pytest.raises(SpoolUnusable, match=r"is in use: hookline relay, process \d+ on"):
        store.move_source(since="now")
    end_leases(store)
    with store.move_source(since="now"):
        assert not leases.renew()


def test_a_move_that_was_stopped_for_too_long_ends(store: SharedStore, join: Callable[[], SlotLeases]) -> None:
    """Its lease is over, a relay has joined, and the move removes nothing from it."""
    with store.move_source(since="now") as source:
        end_leases(store)
        join()
        with pytest.raises(SpoolStalled, match="relays may use the spool"), source.take(now=0.0):
            pass


def end_leases(store: SharedStore) -> None:
    connection = store.connection()
    connection.query("UPDATE spool.process SET expires = clock_timestamp()")
    connection.close()


def wait_for_a_lock(store: SharedStore) -> None:
    """Until a session of the database waits for a lock."""
    connection = store.connection()
    wait_until(lambda: connection.query(WAITING)[0][0] > 0)
    connection.close()


def test_a_process_that_joins_while_a_move_begins_sees_it(store: SharedStore, join: Callable[[], SlotLeases]) -> None:
    """The move has checked that no process is alive, and has not committed yet."""
    spool = store.connection()
    with ThreadPoolExecutor() as pool:
        with spool.transaction() as connection:
            connection.execute(spool.sql(LOCK_JOINS))
            joining = pool.submit(join)
            wait_for_a_lock(store)
            connection.execute(spool.sql(JOIN), (TOKEN, "move", "", "host", 1, 0.0, 1, 10.0))
        with pytest.raises(SpoolUnusable, match="is being moved by process 1 on host"):
            joining.result()
    spool.close()


def test_a_move_that_begins_while_a_process_joins_sees_it(store: SharedStore) -> None:
    """The process has seen no move, and has not committed yet."""
    spool = store.connection()
    with ThreadPoolExecutor() as pool:
        with spool.transaction() as connection:
            connection.execute(spool.sql(LOCK_JOINS))
            connection.execute(spool.sql(JOIN), (TOKEN, "relay", "", "host", 1, 0.0, 1, 10.0))
            moving = pool.submit(store.move_source, since="now")
            wait_for_a_lock(store)
        with pytest.raises(SpoolUnusable, match="is in use: hookline relay, process 1 on host"):
            moving.result()
    spool.close()


def test_a_process_that_joins_waits_for_the_batch_of_a_move(
    store: SharedStore, join: Callable[[], SlotLeases]
) -> None:
    """The lease may be over before the batch is: its deliveries are gone before another process can send them."""
    fill(store)
    with ThreadPoolExecutor() as pool, store.move_source(since="now") as source:
        with source.take(now=NOW) as batch:
            joining = pool.submit(join)
            wait_for_a_lock(store)
        with pytest.raises(SpoolUnusable, match="is being moved"):
            joining.result()
        assert len(batch.deliveries) == 5
        assert source.contents().pending == 0
