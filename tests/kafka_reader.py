"""Reads a topic in tests: sources of several relays that share a spool, as the ingester uses them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from builders import ingest_batch
from hookline.errors import PositionMoved
from hookline.relay.delivery_record import WHOLE_LINE
from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.kafka.kafka_address import KafkaAddress, kafka_address
from hookline.relay.sources.kafka.kafka_consumer import KafkaConsumer
from hookline.relay.sources.kafka.kafka_settings import kafka_settings
from hookline.relay.sources.kafka.kafka_source import KafkaSource
from hookline.relay.sources.kafka.poll_thread import ReadingRules
from hookline.relay.sources.source import Batch, LineSource
from hookline.relay.sources.timing import Timing
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import RejectedLine
from source_reader import Notebook

# A member that is silent for a second is missed, so that the tests are quick.
QUICK: Mapping[str, str | int | bool] = {
    "session.timeout.ms": 1000,
    "heartbeat.interval.ms": 100,
    "reconnect.backoff.ms": 50,
}


@dataclass
class Reader:
    """One relay that reads. Every line becomes a dead letter of `spool`, so that its place can be looked up."""

    source: LineSource
    spool: Spool
    notes: Notebook
    lines: list[tuple[str, int, bytes]] = field(default_factory=list)
    dropped: int = 0
    ended: bool = False

    def read(self) -> Batch:
        """Take one batch and store it, unless another reader has moved the position."""
        batch = self.source.read()
        self.store(batch)
        return batch

    def store(self, batch: Batch) -> None:
        self.ended |= batch.end
        if not batch.lines:
            return
        rejected = [RejectedLine(line, WHOLE_LINE, "test") for line in batch.lines]
        group = ingest_batch(source=batch.source, position=batch.position, read=len(rejected), rejected=rejected)
        assert batch.on_durable is not None
        assert batch.on_dropped is not None
        try:
            self.spool.enqueue(group, now=time.time(), dedupe_window=0.0)
        except PositionMoved:
            self.dropped += 1
            batch.on_dropped()
        else:
            self.lines += [(batch.source, line.number, line.data) for line in batch.lines]
            batch.on_durable()

    def read_until(self, condition: Callable[[], bool], within_seconds: float = 60.0) -> None:
        """Read until the condition holds, or to the end."""
        deadline = time.monotonic() + within_seconds
        while not self.ended and not condition():
            assert time.monotonic() < deadline, (len(self.lines), self.notes.said)
            self.read()

    def read_to_end(self) -> list[bytes]:
        self.read_until(lambda: False)
        return [data for _, _, data in self.lines]

    def said(self, part: str) -> list[dict[str, object]]:
        """The fields of the notes whose text contains `part`."""
        return [fields for _, text, fields in self.notes.said if part in text]


@contextmanager
def reading(
    address: str,
    spool: Spool,
    *,
    follow: bool = False,
    from_start: bool = False,
    timing: Timing | None = None,
    positions: Callable[[], Any] | None = None,
    settings: Mapping[str, str | int | bool] = QUICK,
) -> Iterator[Reader]:
    """A source that reads for `spool`. It is closed at the end."""
    target: KafkaAddress = kafka_address(require_address(address))
    notes = Notebook()
    configuration = kafka_settings(target, credentials=None, ca_file=None) | dict(QUICK) | dict(settings)
    source = KafkaSource(
        target,
        partial(KafkaConsumer, configuration, target.topic, lambda text: None),
        positions or spool.positions,
        ReadingRules(follow=follow, from_start=from_start),
        logger=notes,
        timing=timing or Timing(wait_seconds=0.1),
    )
    reader = Reader(source, spool, notes)
    try:
        yield reader
    finally:
        source.finish()
        source.close()
        with suppress(Exception):  # a failure that the test has seen, or that the reader's thread left behind
            source.read()


def clock_of_speed(seconds_per_second: float) -> Timing:
    """The timing of a source whose clock is quicker than the real one."""
    begin = time.monotonic()
    return Timing(monotonic=lambda: begin + (time.monotonic() - begin) * seconds_per_second, wait_seconds=0.1)


def numbered(count: int, start: int = 0) -> Sequence[bytes]:
    return [b"%d" % number for number in range(start, start + count)]
