"""The thread that polls Kafka. It keeps the membership of the group while the ingester waits for a full spool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hookline.errors import HooklineError, SpoolStalled
from hookline.relay.sources.broker.source_address import is_this_machine
from hookline.relay.sources.kafka.assignment import Assignment
from hookline.relay.sources.kafka.kafka_address import KafkaAddress
from hookline.relay.sources.kafka.kafka_consumer import Cluster, KafkaConsumer, KafkaFault, Polled
from hookline.relay.sources.kafka.partition import Partition
from hookline.relay.sources.kafka.starting_point import StartingPoint, starting_point
from hookline.relay.sources.source import Position, SourceLog
from hookline.relay.sources.timing import Timing

POLL_SECONDS: Final = 0.2
KAFKA_RETRY_SECONDS: Final = 1.0
MAX_AWAY_SECONDS: Final = 30.0
NO_PARTITION_SECONDS: Final = 5.0
PLACING_SECONDS: Final = 5.0
# Longer than the ingester needs for a batch: a pause drops the messages that were fetched ahead.
ROOM_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingRules:
    """`follow`: reading does not end. `from_start`: the first reading of each partition ignores its position.
    `joins_group`: partitions are assigned by the group, and offsets are committed; otherwise all are read.
    """

    follow: bool
    from_start: bool
    joins_group: bool = True


class PollThread:
    """Implements RebalanceListener."""

    def __init__(
        self,
        address: KafkaAddress,
        make_consumer: Callable[[], KafkaConsumer],
        assignment: Assignment,
        positions: Callable[[], list[Position]],
        rules: ReadingRules,
        *,
        logger: SourceLog,
        timing: Timing,
    ) -> None:
        """Create the thread. It starts with `start`.

        Args:
            address: The topic and the group.
            make_consumer: Creates the consumer, which only this thread uses.
            assignment: Receives partitions and messages.
            positions: Returns the current positions of the spool. Called when partitions are assigned, in this
                thread.
            rules: Those of this run.
            logger: Receives the log lines.
            timing: The clock.
        """
        self._address = address
        self._make_consumer = make_consumer
        self._assignment = assignment
        self._positions = positions
        self._rules = rules
        self._logger = logger
        self._timing = timing
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._is_paused = False
        self._is_waiting_for_topic = False
        self._restarted: dict[int, bool] = {}
        self._suspected: dict[int, int] = {}
        self._away_since: float | None = None
        self._next_try = 0.0
        self._lonely_since: float | None = None
        self._reported: dict[str, bool] = {}

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    # -- RebalanceListener

    def assigned(self, partitions: list[int]) -> None:
        if partitions:
            self._logger.info("partitions assigned", source=self._address.name, partitions=_listed(partitions))
        self._assignment.assign(partitions)
        self._next_try = 0.0
        if partitions:
            self._assignment.settle()
        elif not self._assignment.is_settled and self._lonely_since is None:
            self._lonely_since = self._timing.monotonic()

    def revoked(self, partitions: list[int]) -> None:
        if partitions:
            self._logger.info("partitions revoked", source=self._address.name, partitions=_listed(partitions))
        self._assignment.revoke(partitions)

    # -- the thread

    def _run(self) -> None:
        consumer: KafkaConsumer | None = None
        try:
            consumer = self._make_consumer()
            if self._connect(consumer):
                while not self._assignment.is_closing:
                    self._step(consumer)
        except BaseException as failure:
            self._assignment.fail(failure)
        finally:
            if consumer is not None:
                consumer.commit(self._assignment.take_commits())
                consumer.close()

    def _connect(self, consumer: KafkaConsumer) -> bool:
        """Waits for the cluster and the topic. Returns False if the run ends before."""
        while not self._assignment.is_closing:
            if (cluster := self._ask(consumer)) is not None and cluster.partitions:
                self._require_encryption(cluster)
                self._assignment.cluster = cluster.id or self._address.bootstrap
                if self._rules.joins_group:
                    self._logger.info("joining the group", source=self._address.name, group=self._address.group)
                    consumer.subscribe(self)
                else:
                    self.assigned(cluster.partitions)
                return True
            self._assignment.wait_for_close(KAFKA_RETRY_SECONDS)
        return False

    def _ask(self, consumer: KafkaConsumer) -> Cluster | None:
        """Asks for the cluster, and reports whether it can be reached."""
        try:
            cluster = consumer.cluster()
        except KafkaFault as fault:
            self._report_away(fault)
            return None
        if self._away_since is not None:
            self._away_since = None
            self._logger.warning("Kafka can be reached again", source=self._address.name)
        if not cluster.partitions:
            self._report_missing_topic()
        return cluster

    def _report_away(self, fault: KafkaFault) -> None:
        now = self._timing.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._logger.warning(
                "Kafka cannot be reached, will try again", source=self._address.name, reason=fault.message
            )
        if not self._rules.follow and (fault.is_permanent or now - self._away_since > MAX_AWAY_SECONDS):
            raise HooklineError(
                f"{self._address.name}: Kafka cannot be reached: {fault.message}",
                hint="check the host, the port of a listener with TLS, and --source-credentials",
            ) from fault

    def _report_missing_topic(self) -> None:
        if not self._rules.follow:
            raise HooklineError(
                f"{self._address.name}: the topic does not exist",
                hint="check its name, and that the user may describe it; --follow waits for it",
            )
        if not self._is_waiting_for_topic:
            self._is_waiting_for_topic = True
            self._logger.warning("topic does not exist yet, waiting for it", source=self._address.name)

    def _require_encryption(self, cluster: Cluster) -> None:
        """The brokers' own addresses decide, because the address on the command line may lead through a tunnel."""
        if not self._address.tls and not all(is_this_machine(host) for host in cluster.hosts):
            raise HooklineError(
                f"{self._address.name}: connections to Kafka on another machine need TLS, and its brokers announce "
                "such addresses",
                hint="name a listener with TLS, and add tls=on to the address",
            )

    def _step(self, consumer: KafkaConsumer) -> None:
        now = self._timing.monotonic()
        if now >= self._next_try:
            if consumer.away is not None:
                self._ask(consumer)
                self._next_try = now + KAFKA_RETRY_SECONDS
            elif unplaced := self._assignment.unplaced():
                self._place(consumer, unplaced)
        if self._lonely_since is not None and now - self._lonely_since > NO_PARTITION_SECONDS:
            self._assignment.settle()  # the other members have all partitions
        if self._rules.joins_group and (commits := self._assignment.take_commits()):
            consumer.commit(commits)
        has_room = self._assignment.wait_for_room(ROOM_SECONDS)
        if has_room == self._is_paused:
            (consumer.resume if has_room else consumer.pause)()
            self._is_paused = not has_room
        self._take(consumer, consumer.poll(POLL_SECONDS if has_room else 0))

    def _take(self, consumer: KafkaConsumer, polled: Polled) -> None:
        consumer.stop_fetching(self._assignment.add(polled.messages))
        for number in dict.fromkeys(number for number, _, _ in polled.messages):
            self._assignment.note_high(number, consumer.known_high(number))
        for number, offset in polled.ends:
            self._assignment.skip_to(number, offset)
        for number in polled.out_of_range:
            self._assignment.find_again(number)
            self._next_try = self._timing.monotonic() + KAFKA_RETRY_SECONDS
        for fault in polled.faults:
            if fault.is_permanent and not self._rules.follow:
                raise HooklineError(f"{self._address.name}: {fault.message}") from fault
            if fault.message not in self._reported:
                self._reported[fault.message] = True
                self._logger.warning("Kafka reports an error", source=self._address.name, reason=fault.message)

    # -- the start of a partition

    def _place(self, consumer: KafkaConsumer, unplaced: list[Partition]) -> None:
        """Finds the start of partitions. Tries again later if the broker or the spool does not answer."""
        try:
            committed = consumer.committed([one.number for one in unplaced])
            stored = {one.key: one.offset for one in self._positions()}
            until = self._timing.monotonic() + PLACING_SECONDS
            for one in unplaced:
                if self._timing.monotonic() > until:
                    break  # the others follow after the next poll
                key = self._address.key(self._assignment.cluster, one.number)
                self._place_one(consumer, one.number, stored.get(key), committed.get(one.number))
        except (KafkaFault, SpoolStalled) as failed:
            self._next_try = self._timing.monotonic() + KAFKA_RETRY_SECONDS
            self._logger.debug("partitions cannot be read yet", source=self._address.name, reason=failed.message)

    def _place_one(self, consumer: KafkaConsumer, number: int, stored: int | None, committed: int | None) -> None:
        low, high = consumer.bounds(number)
        start = starting_point(stored=stored, committed=committed, low=low, high=high)
        if start.beyond and self._suspected.get(number) != stored:
            # A broker that has just become the leader may not know the end yet.
            self._suspected[number] = stored or 0
            raise KafkaFault("the log ends before the position")
        self._suspected.pop(number, None)
        self._report_start(number, start)
        if stored == start.offset and stored > (committed or 0):
            self._assignment.note_stored(number, stored)
        if self._rules.from_start and number not in self._restarted:
            self._restarted[number] = True
            start = StartingPoint(low)
        end = None if self._rules.follow else high
        self._assignment.place(number, follows=stored or 0, offset=start.offset, high=high, end=end)
        if end is None or start.offset < end:
            consumer.fetch(number, start.offset)
            self._is_paused = False

    def _report_start(self, number: int, start: StartingPoint) -> None:
        source = self._address.source(number)
        if start.lost:
            event = "messages were removed before they were read, reading continues with the first one"
            self._logger.warning(event, source=source, messages=start.lost, line=start.offset)
        if start.beyond:
            event = "the log ends before the position, reading starts again with its first message"
            self._logger.warning(event, source=source, messages=start.beyond, line=start.offset)
        if start.upstream_ahead:
            event = "the group has committed a later offset than this spool, reading continues from the spool"
            self._logger.warning(event, source=source, messages=start.upstream_ahead, line=start.offset)


def _listed(numbers: list[int]) -> str:
    return " ".join(map(str, sorted(numbers)))
