"""The mock cluster of librdkafka: brokers in a process of their own, which listen on TCP.

It speaks Kafka's protocol, with topics, consumer groups and rebalances, and keeps its log in memory
(https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h). confluent-kafka does not offer it in
Python, so this module calls the library that the package contains.
"""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

PRODUCER: Final = 0
_INT = ctypes.c_int32
_FUNCTIONS: Final[Mapping[str, tuple[Any, Sequence[Any]]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, ()),
    "rd_kafka_conf_set": (ctypes.c_int, (ctypes.c_void_p, *[ctypes.c_char_p] * 3, ctypes.c_size_t)),
    "rd_kafka_new": (ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int)),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, (ctypes.c_void_p,)),
    "rd_kafka_mock_topic_create": (ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)),
    "rd_kafka_mock_partition_delete_records": (
        ctypes.c_int, (ctypes.c_void_p, ctypes.c_char_p, _INT, ctypes.c_int64),
    ),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, (ctypes.c_void_p, _INT)),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, (ctypes.c_void_p, _INT)),
    "rd_kafka_mock_broker_set_host_port": (
        ctypes.c_int, (ctypes.c_void_p, _INT, ctypes.c_char_p, ctypes.c_int),
    ),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (ctypes.c_void_p, _INT)),
}  # fmt: skip


def _load() -> ctypes.CDLL:
    import confluent_kafka  # noqa: PLC0415 - the process of the test needs no second library

    package = Path(confluent_kafka.__file__).parent
    (path,) = [*package.parent.glob("confluent_kafka.libs/librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def serve(brokers: int) -> None:
    """Run a cluster until standard input ends. Each line of it is a call: a list of a function and its arguments."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the test
    library = _load()
    configuration = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", None, 0)
    cluster = library.rd_kafka_mock_cluster_new(library.rd_kafka_new(PRODUCER, configuration, None, 0), brokers)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    print(library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        values = [one.encode() if isinstance(one, str) else one for one in arguments]
        print(getattr(library, f"rd_kafka_mock_{name}")(cluster, *values), flush=True)


class KafkaCluster:
    """A running cluster. `brokers` are their ports."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.bootstrap = self._answer()
        self.ports = [int(one.rpartition(":")[2]) for one in self.bootstrap.split(",")]

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "the mock cluster has ended"
        return answer.strip()

    def call(self, name: str, *arguments: str | int) -> None:
        """Call rd_kafka_mock_NAME."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
        self._process.stdin.flush()
        assert "0" == self._answer()

    def create(self, topic: str, partitions: int) -> None:
        self.call("topic_create", topic, partitions, 1)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """As retention does."""
        self.call("partition_delete_records", topic, partition, before)

    def set_up(self, up: bool) -> None:
        """Stop all brokers, or start them again."""
        for broker in range(1, len(self.ports) + 1):
            self.call("broker_set_up" if up else "broker_set_down", broker)

    def address(self, topic: str, group: str = "hookline", more: str = "") -> str:
        return f"kafka://127.0.0.1:{self.ports[0]}/{topic}?group={group}{more}"

    def produce(self, topic: str, partition: int, *values: bytes | None) -> None:
        from confluent_kafka import Producer  # noqa: PLC0415

        producer = Producer({"bootstrap.servers": self.bootstrap, "message.max.bytes": 4_000_000, "log_level": 0})
        for value in values:
            producer.produce(topic, value, partition=partition)
            producer.poll(0)
        assert 0 == producer.flush(30)

    def committed(self, topic: str, group: str = "hookline") -> dict[int, int]:
        """The group's committed offsets."""
        from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        found = consumer.committed([TopicPartition(topic, one) for one in partitions], timeout=10)
        consumer.close()
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def commit(self, topic: str, partition: int, offset: int, group: str = "hookline") -> None:
        """Set a committed offset of the group, which must have no member: the mock takes commits of members only."""
        from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

        settings = {"bootstrap.servers": self.bootstrap, "group.id": group, "log_level": 0}
        # The mock lets the next member wait for a part of the session of the one that has left.
        quick = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 100, "max.poll.interval.ms": 1000}
        consumer = Consumer(settings | quick | {"enable.auto.commit": False})
        consumer.subscribe([topic])
        while not consumer.assignment():
            consumer.poll(0.1)
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
        consumer.close()


@contextmanager
def kafka_cluster(brokers: int = 1) -> Iterator[KafkaCluster]:
    process = subprocess.Popen(
        [sys.executable, __file__, str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield KafkaCluster(process)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
