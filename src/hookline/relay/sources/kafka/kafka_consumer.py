"""The consumer of librdkafka, for one topic: the only module that knows confluent-kafka."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from hookline.errors import HooklineError

QUERY_SECONDS: Final = 3.0
MESSAGES_PER_POLL: Final = 500
_NO_OFFSET: Final = -1001  # RD_KAFKA_OFFSET_INVALID
_NEEDS_OPERATOR: Final = {
    *(KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED),
    *(KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED),
    *(KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM, KafkaError._FATAL),
}
_IS_AWAY: Final = {KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._AUTHENTICATION, KafkaError._SSL}


class KafkaFault(HooklineError):
    """The broker does not answer, or refuses. `is_permanent`: until an operator changes something."""

    def __init__(self, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.is_permanent = is_permanent


class Cluster(NamedTuple):
    """The id of a cluster, the hosts of its brokers, and the partitions of the topic (none if it does not exist)."""

    id: str
    hosts: list[str]
    partitions: list[int]


class Polled(NamedTuple):
    """The result of one poll. `messages` are partition, offset and value. `ends` are the partitions whose log ends at
    an offset, `out_of_range` those whose log has no longer the requested offset. `faults` are all others."""

    messages: list[tuple[int, int, bytes | None]]
    ends: list[tuple[int, int]]
    out_of_range: list[int]
    faults: list[KafkaFault]


class RebalanceListener(Protocol):
    """Called within `poll`, and within `close`."""

    def assigned(self, partitions: list[int]) -> None:
        """The group gives these partitions to this consumer, in addition to others. None are fetched yet."""

    def revoked(self, partitions: list[int]) -> None:
        """The group takes these partitions away, or has already given them to another consumer."""


class KafkaConsumer:
    """A member of a consumer group, once it has subscribed. Fetches only partitions for which `fetch` was called.

    Used by one thread.
    """

    def __init__(self, configuration: Mapping[str, str | int | bool], topic: str, log: Callable[[str], None]) -> None:
        """`log` receives the messages of the library, within `poll`."""
        self.away: KafkaFault | None = None
        """Why no broker could be reached, until `cluster` gets an answer."""
        self._topic = topic
        self._fetched: dict[int, bool] = {}
        self._consumer = Consumer(
            {**configuration, "error_cb": self._on_error, "on_commit": lambda *_: None}, logger=_LibraryLog(log)
        )

    def _on_error(self, error: KafkaError) -> None:
        """A more precise reason comes before the report that no broker is left."""
        if error.code() in _IS_AWAY and (self.away is None or error.code() != KafkaError._ALL_BROKERS_DOWN):
            self.away = _fault(error)

    def cluster(self) -> Cluster:
        """Asks for the cluster and the topic. Raises KafkaFault."""
        try:
            found = self._consumer.list_topics(self._topic, timeout=QUERY_SECONDS)
        except KafkaException as failed:
            self._consumer.poll(0)  # calls _on_error, which may know the reason
            self.away = self.away or _fault(failed.args[0])
            raise self.away from failed
        topic = found.topics[self._topic]
        if topic.error is not None and topic.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise _fault(topic.error)
        self.away = None
        hosts = [broker.host for broker in found.brokers.values()]
        return Cluster(found.cluster_id or "", hosts, [] if topic.error else sorted(topic.partitions))

    def subscribe(self, listener: RebalanceListener) -> None:
        def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            consumer.incremental_assign([])
            listener.assigned([one.partition for one in partitions])

        def revoked(_: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = [one.partition for one in partitions]
            self.stop_fetching(numbers)
            listener.revoked(numbers)

        self._consumer.subscribe([self._topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def poll(self, seconds: float) -> Polled:
        """Returns the messages that arrive within `seconds`, as soon as there is one."""
        first = self._consumer.poll(seconds)
        polled = Polled([], [], [], [])
        if first is not None:
            for message in (first, *self._consumer.consume(MESSAGES_PER_POLL - 1, timeout=0)):
                self._sort(message, polled)
        return polled

    def _sort(self, message: Message, polled: Polled) -> None:
        error, number, offset = message.error(), message.partition(), message.offset()
        if error is None:
            if number is not None and offset is not None:
                value = message.value()
                polled.messages.append((number, offset, value if isinstance(value, bytes) else None))
        elif error.code() == KafkaError._PARTITION_EOF and number is not None and offset is not None:
            polled.ends.append((number, offset))
        elif error.code() == KafkaError._AUTO_OFFSET_RESET and number is not None:
            polled.out_of_range.append(number)
        else:
            polled.faults.append(_fault(error))

    def bounds(self, number: int) -> tuple[int, int]:
        """Returns the offset of the partition's first message, and the one after its last. Raises KafkaFault."""
        try:
            bounds = self._consumer.get_watermark_offsets(self._at(number), timeout=QUERY_SECONDS)
        except KafkaException as failed:
            raise _fault(failed.args[0]) from failed
        if bounds is None:
            raise KafkaFault("the broker does not answer in time")
        return bounds

    def known_high(self, number: int) -> int:
        """Returns the offset after the partition's last message, as far as it is known, without asking."""
        bounds = self._consumer.get_watermark_offsets(self._at(number), cached=True)
        return 0 if bounds is None else bounds[1]

    def committed(self, numbers: Iterable[int]) -> dict[int, int]:
        """Returns the group's committed offsets, for the partitions that have one. Raises KafkaFault."""
        try:
            found = self._consumer.committed([self._at(number) for number in numbers], timeout=QUERY_SECONDS)
        except KafkaException as failed:
            raise _fault(failed.args[0]) from failed
        for one in found:
            if one.error is not None:
                raise _fault(one.error)
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def fetch(self, number: int, offset: int) -> None:
        """Begins to fetch a partition from this offset on, also if it is being fetched from another one."""
        self.stop_fetching([number])
        self._consumer.incremental_assign([self._at(number, offset)])
        self._fetched[number] = True

    def stop_fetching(self, numbers: Collection[int]) -> None:
        fetched = [self._at(number) for number in numbers if self._fetched.pop(number, False)]
        self._consumer.incremental_unassign(fetched)

    def pause(self) -> None:
        self._consumer.pause([self._at(number) for number in self._fetched])

    def resume(self) -> None:
        self._consumer.resume([self._at(number) for number in self._fetched])

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Begins to commit offsets. Nothing depends on the result."""
        try:
            self._consumer.commit(
                offsets=[self._at(number, offset) for number, offset in offsets.items()], asynchronous=True
            )
        except KafkaException:
            return

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()

    def _at(self, number: int, offset: int = _NO_OFFSET) -> TopicPartition:
        return TopicPartition(self._topic, number, offset)


class _LibraryLog:
    """The part of logging.Logger that confluent-kafka uses."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log

    def log(self, _level: int, message: str, *values: object) -> None:
        self._log(message % values if values else message)


def _fault(error: KafkaError) -> KafkaFault:
    return KafkaFault(error.str(), is_permanent=error.code() in _NEEDS_OPERATOR or error.fatal())
