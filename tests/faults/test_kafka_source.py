"""The source that reads Kafka: rebalances, moved positions, retention, a full spool, brokers that are away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.memory_spool import Data, MemorySpool
from hookline.errors import HooklineError, SpoolStalled
from hookline.relay.sources.kafka.assignment import MAX_WAITING_LINES
from hookline.relay.sources.source import Position
from kafka_cluster import KafkaCluster, kafka_cluster
from kafka_reader import Reader, clock_of_speed, numbered, reading
from waiting import wait_until

# The shortest that does not depend on the speed of the machine. The source polls every half second.
PATIENCE = {"max.poll.interval.ms": 5000, "session.timeout.ms": 3000}


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[KafkaCluster]:
    with kafka_cluster() as running:
        yield running


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of the test's own. Topic and group share the name."""
    return str(request.node.name).replace("[", ".").replace("]", "")


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool(Data())


class Topic:
    """A topic, and the group of the same name that reads it."""

    def __init__(self, cluster: KafkaCluster, name: str, partitions: int) -> None:
        self.cluster = cluster
        self.name = name
        self.address = cluster.address(name, name)
        cluster.create(name, partitions)

    def produce(self, partition: int, *values: bytes | None) -> None:
        self.cluster.produce(self.name, partition, *values)

    def source(self, partition: int) -> str:
        return f"kafka://127.0.0.1/{self.name}/{partition}"

    def committed(self) -> dict[int, int]:
        return self.cluster.committed(self.name, self.name)


@pytest.fixture
def one(running_cluster: KafkaCluster, topic: str) -> Topic:
    return Topic(running_cluster, topic, 1)


def test_a_topic_is_read_once(one: Topic, spool: MemorySpool) -> None:
    """A run reads up to the end that the log had; the next run continues behind it, and offsets are committed."""
    one.produce(0, *numbered(1200))
    with reading(one.address, spool) as first:
        assert list(numbered(1200)) == first.read_to_end()
        assert [] == first.source.already_read()
    assert {0: 1200} == one.committed()
    one.produce(0, b"later", b"with a line end\r\n", b"")
    with reading(one.address, spool) as second:
        assert [b"later", b"with a line end", b""] == second.read_to_end()
        assert [(one.source(0), 1200), (one.source(0), 1201), (one.source(0), 1202)] == [
            line[:2] for line in second.lines
        ]
    with reading(one.address, spool) as third:
        assert [] == third.read_to_end()
        assert [f"kafka://127.0.0.1/{one.name}"] == third.source.already_read()
    assert [1203] == [position.offset for position in spool.positions()]


def test_the_spool_decides_where_reading_starts(one: Topic, spool: MemorySpool) -> None:
    """A group that the spool does not know starts at its committed offset. Later, only the spool counts."""
    one.produce(0, *numbered(10))
    other = MemorySpool(Data())
    with reading(one.address, other, follow=True) as reader:
        reader.read_until(lambda: len(reader.lines) == 10)
    one.produce(0, *numbered(5, 10))
    with reading(one.address, spool) as reader:
        assert list(numbered(5, 10)) == reader.read_to_end()
    assert {0: 15} == one.committed()
    with reading(one.address, other) as reader:
        assert list(numbered(5, 10)) == reader.read_to_end()
        (fields,) = reader.said("the group has committed a later offset than this spool")
        assert 5 == fields["messages"]


def test_from_start_reads_all_again(one: Topic, spool: MemorySpool) -> None:
    """The position follows the stored one, back and forth."""
    one.produce(0, *numbered(700))
    for from_start in (False, True):
        with reading(one.address, spool, from_start=from_start) as reader:
            assert list(numbered(700)) == reader.read_to_end()
            assert 0 == reader.dropped
    assert [700] == [position.offset for position in spool.positions()]


def test_a_rebalance_loses_and_repeats_nothing(running_cluster: KafkaCluster, topic: str, spool: MemorySpool) -> None:
    """A second relay joins while the first one reads, takes partitions over, and leaves. Each message is once in the
    spool."""
    partitions, each = 4, 1500
    own = Topic(running_cluster, topic, partitions)
    for partition in range(partitions):
        own.produce(partition, *numbered(each // 2))
    lock = threading.Lock()
    with reading(own.address, spool, follow=True) as first:
        first.read_until(lambda: len(first.lines) > 500)
        with reading(own.address, spool, follow=True) as second:
            stop = threading.Event()

            def read(reader: Reader) -> None:
                while not stop.is_set():
                    batch = reader.source.read()
                    with lock:
                        reader.store(batch)

            threads = [threading.Thread(target=read, args=(one,)) for one in (first, second)]
            for thread in threads:
                thread.start()
            wait_until(lambda: second.said("partitions assigned"))
            for partition in range(partitions):
                own.produce(partition, *numbered(each // 2, each // 2))
            wait_until(lambda: len(first.lines) + len(second.lines) == partitions * each)
            stop.set()
            for thread in threads:
                thread.join()
        own.produce(0, b"last")
        first.read_until(lambda: (own.source(0), each, b"last") in first.lines)
    assert first.said("partitions revoked")
    assert second.lines
    expected = {(own.source(partition), n, b"%d" % n) for partition in range(partitions) for n in range(each)}
    found = first.lines + second.lines
    assert expected | {(own.source(0), each, b"last")} == set(found)
    assert len(set(found)) == len(found) == spool.tally()["rejected"] == spool.tally()["read"]
    for reader in (first, second):
        for partition in range(partitions):
            numbers = [number for source, number, _ in reader.lines if source == own.source(partition)]
            assert numbers == sorted(numbers)


def test_a_relay_without_partitions(one: Topic, spool: MemorySpool) -> None:
    """There are more relays than partitions. With --follow, a relay waits until another one ends; else it ends.
    The clock of this test is quick."""
    quick = clock_of_speed(30.0)
    with reading(one.address, spool, follow=True) as first:
        one.produce(0, b"first")
        first.read_until(lambda: bool(first.lines))
        with reading(one.address, spool, timing=quick) as second:
            second.read_to_end()
            assert not second.said("partitions assigned")
        with reading(one.address, spool, follow=True, timing=quick) as third:
            until = time.monotonic() + 3.0
            third.read_until(lambda: time.monotonic() > until)
            assert not third.ended
            first.source.finish()
            first.source.close()
            one.produce(0, b"second")
            third.read_until(lambda: bool(third.lines))
            assert [(one.source(0), 1, b"second")] == third.lines


def test_a_relay_whose_position_moved_continues_behind_it(one: Topic, spool: MemorySpool) -> None:
    """Another relay has stored a part of what this one has read ahead: those lines are dropped, and no others."""
    one.produce(0, *numbered(1500))
    with reading(one.address, spool) as reader:
        while not (first := reader.source.read()).lines:
            pass
        moved = Position(
            name=first.position.name, line=700, offset=700, key=first.position.key, follows=first.position.follows
        )
        spool._data.move(moved)
        reader.store(first)
        reader.read_to_end()
        assert reader.dropped
    assert [(one.source(0), n, b"%d" % n) for n in range(700, 1500)] == reader.lines


def test_removed_messages_are_reported(one: Topic, spool: MemorySpool) -> None:
    """Retention has removed messages that were not read: reading continues with the first one, never at the end."""
    one.produce(0, *numbered(100))
    with reading(one.address, spool) as reader:
        reader.read_to_end()
    one.produce(0, *numbered(100, 100))
    one.cluster.delete_records(one.name, 0, 130)
    with reading(one.address, spool) as reader:
        assert list(numbered(70, 130)) == reader.read_to_end()
        (fields,) = reader.said("messages were removed before they were read")
        assert (30, 130) == (fields["messages"], fields["line"])


def test_messages_that_are_removed_while_the_spool_is_full(one: Topic, spool: MemorySpool) -> None:
    """The lines that were fetched before are not lost, and the later ones are reported."""
    one.produce(0, *numbered(6000))
    with reading(one.address, spool, follow=True) as reader:
        wait_until(lambda: reader.source.progress()[0] > 4 * MAX_WAITING_LINES // 2)
        wait_until(lambda: reader.source._thread._is_paused)  # type: ignore[attr-defined]
        one.cluster.delete_records(one.name, 0, 5900)
        reader.read_until(lambda: bool(reader.lines) and reader.lines[-1][1] == 5999)
        (fields,) = reader.said("messages were removed before they were read")
    fetched = [number for _, number, _ in reader.lines if number < 5900]
    assert len(fetched) >= MAX_WAITING_LINES
    assert list(range(len(fetched))) == fetched
    assert (5900 - len(fetched), 5900) == (fields["messages"], fields["line"])
    assert [*fetched, *range(5900, 6000)] == [number for _, number, _ in reader.lines]


def test_a_topic_that_was_created_again_is_read_from_its_start(one: Topic, spool: MemorySpool) -> None:
    """Its log ends before the position."""
    one.produce(0, *numbered(5))
    with reading(one.address, spool) as reader:
        reader.read_to_end()
        key = spool.positions()[0].key
    spool._data.move(Position(name="x", line=90, offset=90, key=key))
    with reading(one.address, spool) as reader:
        assert list(numbered(5)) == reader.read_to_end()
        (doubt,) = reader.said("partitions cannot be read yet")  # a new leader may not know the end yet
        assert "the log ends before the position" == doubt["reason"]
        (fields,) = reader.said("the log ends before the position")
        assert (85, 0) == (fields["messages"], fields["line"])
    assert [5] == [position.offset for position in spool.positions()]


def test_a_full_spool_keeps_the_partitions(one: Topic, spool: MemorySpool) -> None:
    """While nobody reads for longer than the group's patience, the source buffers little and remains a member."""
    one.produce(0, *numbered(6000))
    with reading(one.address, spool, follow=True, settings=PATIENCE) as reader:
        reader.read()
        wait_until(lambda: reader.source.progress()[0] > 0)
        time.sleep(6.0)  # longer than the patience
        assert reader.source.progress()[0] < 4 * (2 * MAX_WAITING_LINES)
        reader.read_until(lambda: len(reader.lines) == 6000)
        assert [] == reader.said("partitions revoked")
        assert 1 == len(reader.said("partitions assigned"))
        assert 0 == reader.dropped
    assert [(one.source(0), n) for n in range(6000)] == [line[:2] for line in reader.lines]


def test_a_stalled_spool_delays_the_start_of_a_partition(one: Topic, spool: MemorySpool) -> None:
    """The positions cannot be read for a while. Nothing is read before."""
    one.produce(0, *numbered(10))
    answers = [SpoolStalled("locked"), SpoolStalled("locked")]

    def positions() -> list[Position]:
        if answers:
            raise answers.pop()
        return spool.positions()

    with reading(one.address, spool, positions=positions) as reader:
        assert list(numbered(10)) == reader.read_to_end()
        assert 2 == len(reader.said("partitions cannot be read yet"))


def test_a_failing_spool_ends_the_run(one: Topic, spool: MemorySpool) -> None:
    """The reader raises the error of the source's thread."""

    def positions() -> list[Position]:
        raise HooklineError("damaged")

    with reading(one.address, spool, positions=positions) as reader, pytest.raises(HooklineError, match="damaged"):
        reader.read_to_end()


def test_an_end_that_nobody_answers(spool: MemorySpool) -> None:
    """Without --follow, a broker that is away for half a minute ends the run. The clock of this test is quick."""
    quick = clock_of_speed(30.0)
    with kafka_cluster() as cluster:
        address = cluster.address("any")
    with reading(address, spool, timing=quick) as reader:
        with pytest.raises(HooklineError, match=r"kafka://127.0.0.1/any: Kafka cannot be reached"):
            reader.read_to_end()
        assert 1 == len(reader.said("cannot be reached"))


def test_a_topic_that_does_not_exist(running_cluster: KafkaCluster, topic: str, spool: MemorySpool) -> None:
    """A run with an end fails. With --follow, the source waits for the topic."""
    address = running_cluster.address(topic, topic)
    with reading(address, spool) as reader, pytest.raises(HooklineError, match="the topic does not exist"):
        reader.read_to_end()
    with reading(address, spool, follow=True) as reader:
        reader.read_until(lambda: bool(reader.said("topic does not exist yet")))
        own = Topic(running_cluster, topic, 2)
        own.produce(1, b"first")
        reader.read_until(lambda: bool(reader.lines))
        assert [(own.source(1), 0, b"first")] == reader.lines
        assert 1 == len(reader.said("topic does not exist yet"))


def test_brokers_of_other_machines_need_tls(tmp_path: Path, spool: MemorySpool) -> None:
    """The first broker is on this machine, as at the end of a tunnel, but the cluster names another machine."""
    with kafka_cluster(2) as cluster:
        cluster.create("feedback", 1)
        cluster.call("broker_set_host_port", 2, "192.0.2.1", cluster.ports[1])
        with (
            reading(cluster.address("feedback"), spool) as reader,
            pytest.raises(HooklineError, match="need TLS, and its brokers announce such addresses"),
        ):
            reader.read_to_end()
