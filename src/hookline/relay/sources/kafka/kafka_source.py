"""Reads a topic of Kafka as a member of a consumer group."""

from __future__ import annotations

from collections.abc import Callable

from hookline.relay.sources.kafka.assignment import Assignment
from hookline.relay.sources.kafka.kafka_address import KafkaAddress
from hookline.relay.sources.kafka.kafka_consumer import KafkaConsumer
from hookline.relay.sources.kafka.poll_thread import PollThread, ReadingRules
from hookline.relay.sources.source import Batch, Position, SourceLag, SourceLog
from hookline.relay.sources.timing import Timing


class KafkaSource:
    """Implements LineSource. A message is a line, and its offset is the line's number."""

    def __init__(
        self,
        address: KafkaAddress,
        make_consumer: Callable[[], KafkaConsumer],
        positions: Callable[[], list[Position]],
        rules: ReadingRules,
        *,
        logger: SourceLog,
        timing: Timing,
    ) -> None:
        """Start to read. Arguments as in PollThread."""
        self._address = address
        self._timing = timing
        self._has_lines = False
        self._assignment = Assignment(address, follow=rules.follow, acknowledges=rules.joins_group)
        self._thread = PollThread(
            address, make_consumer, self._assignment, positions, rules, logger=logger, timing=timing
        )
        self._thread.start()

    def read(self) -> Batch:
        batch = self._assignment.take(self._timing.wait_seconds)
        self._has_lines |= bool(batch.lines)
        return batch

    def lags(self) -> list[SourceLag]:
        return self._assignment.lags()

    def progress(self) -> tuple[int, int | None]:
        return self._assignment.bytes_read, None

    def stray_bytes(self) -> int:
        return 0

    def unfinished(self) -> list[tuple[str, int]]:
        return []

    def already_read(self) -> list[str]:
        return [self._address.name] if self._assignment.was_read and not self._has_lines else []

    def finish(self) -> None:
        self._assignment.finish()

    def close(self) -> None:
        self._assignment.close()
        self._thread.join()
