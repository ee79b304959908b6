"""The processes of a shared spool, as other commands see them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from hookline.observe.snapshot import ProcessStatus, RelayStatus, SpoolProcesses
from hookline.relay.spool.postgres.operator_ports.shared_processes import SharedStatusPublisher
from hookline.relay.spool.postgres.shared import SharedStore
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from postgres_server import running_server
from shared_spool import SharedSpoolDatabase


@pytest.fixture(scope="module")
def database() -> SharedSpoolDatabase:
    return SharedSpoolDatabase(slots=8)


class Process:
    """A process with its leases and its publisher."""

    def __init__(self, database: SharedSpoolDatabase, name: str = "", kind: str = "relay") -> None:
        self.connection = database.store.connection()
        self.leases = SlotLeases(self.connection, kind=kind, name=name, now=10.0)
        self.leases.join()
        self.publisher = SharedStatusPublisher(database.store.connection(), lambda: self.leases.token)

    def publish(self, at: float) -> None:
        self.publisher.publish(RelayStatus(version="1", process=os.getpid(), started=1.0, at=at))

    def end(self) -> None:
        self.publisher.withdraw()
        self.leases.leave()
        self.connection.close()


@pytest.fixture
def processes(database: SharedSpoolDatabase) -> Iterator[list[Process]]:
    """Ends the processes that a test adds."""
    started: list[Process] = []
    yield started
    for one in started:
        one.end()


def found(database: SharedSpoolDatabase) -> tuple[SpoolProcesses, dict[str, ProcessStatus]]:
    seen = database.store.statistics().processes()
    return seen, {one.name: one for one in seen.processes}


def expire(database: SharedSpoolDatabase, one: Process) -> None:
    database.execute(f"UPDATE spool.process SET expires = now() - interval '3 s' WHERE token = '{one.leases.token}'")


def test_each_process_with_its_slots_and_status(database: SharedSpoolDatabase, processes: list[Process]) -> None:
    """Two processes share the slots; one reads the files of a name, the other stands by; each reports for itself."""
    first, second = Process(database, "eu"), Process(database, "us", "deliver")
    processes += [first, second]
    first.leases.rebalance()
    second.leases.rebalance()
    first.leases.take_reader("eu")
    first.publish(5.0)
    second.publish(6.0)
    seen, by_name = found(database)
    assert (8, [], True) == (seen.slots, list(seen.unowned), seen.shared)
    eu, us = by_name["eu"], by_name["us"]
    assert sorted([*eu.slots, *us.slots]) == list(range(8))
    assert [4, 4] == [len(eu.slots), len(us.slots)]
    assert [("relay", True, 5.0), ("deliver", False, 6.0)] == [
        (one.kind, one.reads, one.status.at if one.status else None) for one in (eu, us)
    ]
    assert f"{socket.gethostname()}/{os.getpid()}" == eu.label
    assert not eu.gone
    assert 0 < (eu.lease_seconds or 0.0) <= 10


def test_a_process_whose_lease_is_over_is_gone(database: SharedSpoolDatabase, processes: list[Process]) -> None:
    """It still has its slots until another process takes them over. Slots that nobody took are unowned."""
    lost = Process(database, "lost")
    processes.append(lost)
    lost.leases.rebalance()
    lost.leases.release([6, 7])
    expire(database, lost)
    seen, by_name = found(database)
    assert by_name["lost"].gone
    assert -60 < (by_name["lost"].lease_seconds or 0.0) <= -3
    assert ([0, 1, 2, 3, 4, 5], [6, 7]) == (list(by_name["lost"].slots), list(seen.unowned))


def test_a_process_with_a_new_lease_reports_under_it(database: SharedSpoolDatabase, processes: list[Process]) -> None:
    """The report of the lost lease disappears, and so does that of a process that was killed."""
    killed, back = Process(database, "killed"), Process(database, "back")
    processes += [killed, back]
    killed.publish(1.0)
    back.publish(2.0)
    database.execute("DELETE FROM spool.process")
    back.publish(3.0)
    assert [] == list(found(database)[0].processes)
    back.leases.join()
    back.publish(4.0)
    assert [4.0] == [one.status.at for one in found(database)[1].values() if one.status is not None]
    assert [(1,)] == database.execute("SELECT count(*) FROM spool.process_status")


def test_a_status_of_another_version_is_none(database: SharedSpoolDatabase, processes: list[Process]) -> None:
    """The process is shown without it."""
    one = Process(database, "odd")
    processes.append(one)
    one.publish(1.0)
    database.execute("UPDATE spool.process_status SET status = '{\"version\": 5}'")
    assert found(database)[1]["odd"].status is None


def test_a_publisher_survives_its_server() -> None:
    """Nobody sees the status while the server is away. It does not end the relay, and is there again afterwards."""
    with running_server() as server:
        database = SharedSpoolDatabase(server)
        process = Process(database)
        process.publish(1.0)
        server.stop()
        process.publish(2.0)
        assert SpoolProcesses() == database.store.statistics().processes()
        server.start()
        statistics = database.store.statistics()
        while [3.0] != [one.status.at for one in statistics.processes().processes if one.status is not None]:
            process.publish(3.0)  # the publisher pauses before it connects again
        process.publisher.withdraw()
        process.connection.close()


def test_a_standby_shows_the_processes_without_their_reports() -> None:
    """`status` works on a standby of the server. An unlogged table is not there."""
    with running_server(wal_level="replica", max_wal_senders="4") as primary:
        database = SharedSpoolDatabase(primary)
        process = Process(database, "eu")
        process.leases.rebalance()
        process.publish(1.0)
        with running_server(primary=primary) as standby:
            statistics = SharedStore(standby.url(database.name)).statistics()
            (shown,) = statistics.processes().processes
            assert ("eu", 64, None) == (shown.name, len(shown.slots), shown.status)
            assert 0 == statistics.spool_status(now=1.0).tally["pending"]
        process.end()
