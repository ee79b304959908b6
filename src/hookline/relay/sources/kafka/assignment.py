"""The partitions that this relay has now, between the threads that use them.

The poll thread adds and removes partitions and messages. The reader's thread takes batches. The event loop reports
whether a batch is durable or was dropped. No call waits for the broker or for the spool.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

from hookline.relay.sources.kafka.kafka_address import KafkaAddress
from hookline.relay.sources.kafka.partition import Partition
from hookline.relay.sources.source import START_POSITION, Batch, Position, SourceLag

MAX_WAITING_LINES: Final = 2000
MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
_END: Final = Batch("", [], START_POSITION, True)
_NOTHING: Final = Batch("", [], START_POSITION, False)


class Assignment:
    """The partitions of one source.

    Attributes:
        cluster: the id of the cluster, once it is known.
        bytes_read: the bytes of all messages.
        was_read: the spool knew a position of the group.
        is_settled: the group has given this relay its partitions, possibly none.
        is_closing: `close` was called.
    """

    def __init__(self, address: KafkaAddress, *, follow: bool, acknowledges: bool) -> None:
        """`follow`: there is no end, also without any partition. `acknowledges`: each batch will be durable or
        dropped. A dry run does not store its batches."""
        self.cluster = ""
        self.bytes_read = 0
        self.is_settled = self.is_closing = self.was_read = False
        self._address = address
        self._follow = follow
        self._acknowledges = acknowledges
        self._changed = threading.Condition()
        self._partitions: dict[int, Partition] = {}
        # The batches that are neither durable nor dropped, by a number of their own, and their number by partition.
        self._open: dict[int, Partition] = {}
        self._last_batch = 0
        self._commits: dict[int, int] = {}
        self._is_finishing = False
        self._failure: BaseException | None = None

    # -- called by the poll thread

    def assign(self, numbers: Iterable[int]) -> None:
        """The group gives these partitions to this relay."""
        with self._changed:
            for number in numbers:
                self._partitions[number] = Partition(number)
            self._changed.notify_all()

    def revoke(self, numbers: Iterable[int]) -> None:
        """The group takes them away. Their batches that are not stored yet still try to follow their position."""
        with self._changed:
            for number in numbers:
                self._partitions.pop(number, None)
                self._commits.pop(number, None)
            self._changed.notify_all()

    def unplaced(self) -> list[Partition]:
        """Returns the partitions whose start has to be found. One with an open batch waits for the batch, because it
        moves the position or is dropped. So does one with lines, because they become a batch."""
        with self._changed:
            is_open = Counter(one.number for one in self._open.values())
            return [
                one
                for one in self._partitions.values()
                if not one.is_placed and not one.waiting_lines and not is_open[one.number]
            ]

    def place(self, number: int, *, follows: int, offset: int, high: int, end: int | None) -> None:
        """Reading starts, as in Partition.place."""
        with self._changed:
            self.was_read |= follows > 0
            self._partitions[number].place(follows=follows, offset=offset, high=high, end=end)
            self._changed.notify_all()

    def note_stored(self, number: int, offset: int) -> None:
        """The spool has stored the messages before `offset`, and the group does not show it: the reader that stored
        them has ended before it committed."""
        with self._changed:
            if number in self._partitions:
                self._commits[number] = offset

    def find_again(self, number: int) -> None:
        """The log has no longer the next message, so the start of the partition has to be found again."""
        with self._changed:
            if number in self._partitions:
                self._partitions[number].is_placed = False

    def add(self, messages: Iterable[tuple[int, int, bytes | None]]) -> list[int]:
        """Adds messages: partition, offset and value. Returns the partitions that have come to their end with it."""
        ended = []
        with self._changed:
            for number, offset, value in messages:
                partition = self._partitions.get(number)
                if partition is None:
                    continue
                was_at_end = partition.is_at_end
                self.bytes_read += partition.add(offset, value)
                if partition.is_at_end and not was_at_end:
                    ended.append(number)
            self._changed.notify_all()
        return ended

    def note_high(self, number: int, offset: int) -> None:
        """The log of a partition ends at `offset` now; 0 if that is unknown."""
        with self._changed:
            if number in self._partitions and offset > 0:
                self._partitions[number].high = offset

    def skip_to(self, number: int, offset: int) -> None:
        """The log has no message before `offset` that was not added."""
        with self._changed:
            if number in self._partitions:
                self._partitions[number].skip_to(offset)
                self._changed.notify_all()

    def settle(self) -> None:
        with self._changed:
            self.is_settled = True
            self._changed.notify_all()

    def wait_for_room(self, seconds: float) -> bool:
        """Waits until the reader has taken lines, at most `seconds`. Returns whether more can be added."""
        with self._changed:
            return self._changed.wait_for(lambda: self.is_closing or self._has_room(), seconds)

    def wait_for_close(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.is_closing, seconds)

    def take_commits(self) -> dict[int, int]:
        """Returns the offsets that became durable since the last call, by partition."""
        with self._changed:
            commits, self._commits = self._commits, {}
            return commits

    def fail(self, failure: BaseException) -> None:
        """The next `take` raises it."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    # -- called by the reader's thread

    def take(self, seconds: float) -> Batch:
        """Returns the next batch. Waits at most `seconds` for one."""
        with self._changed:
            self._changed.wait_for(self._is_ready, seconds)
            if self._failure is not None:
                raise self._failure
            if self._is_finishing:
                return _END
            if (partition := self._next_turn()) is not None:
                return self._batch(partition)
            return _END if self._is_at_end() else _NOTHING

    def finish(self) -> None:
        with self._changed:
            self._is_finishing = True
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.is_closing = True
            self._changed.notify_all()

    def lags(self) -> list[SourceLag]:
        with self._changed:
            return [self._lag(one) for one in self._partitions.values() if one.is_placed]

    def _is_ready(self) -> bool:
        return self._is_finishing or self._failure is not None or self._next_turn() is not None or self._is_at_end()

    def _is_at_end(self) -> bool:
        if self._follow or not self.is_settled or self._open:
            return False
        return all(one.is_finished for one in self._partitions.values())

    def _next_turn(self) -> Partition | None:
        return next((one for one in self._partitions.values() if one.waiting_lines), None)

    def _has_room(self) -> bool:
        partitions: Collection[Partition] = self._partitions.values()
        return (
            sum(one.waiting_lines for one in partitions) < MAX_WAITING_LINES
            and sum(one.waiting_bytes for one in partitions) < MAX_WAITING_BYTES
        )

    def _batch(self, partition: Partition) -> Batch:
        number = partition.number
        self._partitions[number] = self._partitions.pop(number)  # the other partitions come first in the next turns
        lines, follows, offset = partition.take()
        self._changed.notify_all()
        position = Position(
            name=self._address.position_name(number),
            line=offset,
            offset=offset,
            key=self._address.key(self.cluster, number),
            follows=follows,
        )
        source = self._address.source(number)
        if not self._acknowledges:
            return Batch(source, lines, position, False)
        self._last_batch += 1
        self._open[self._last_batch] = partition
        durable = partial(self._durable, self._last_batch, offset)
        dropped = partial(self._dropped, self._last_batch)
        return Batch(source, lines, position, False, on_durable=durable, on_dropped=dropped)

    def _lag(self, partition: Partition) -> SourceLag:
        name, offset = self._address.position_name(partition.number), partition.follows
        position = Position(name=name, line=offset, offset=offset)
        return SourceLag(name, position, None, partition.unread_messages)

    # -- called on the event loop

    def _durable(self, batch: int, offset: int) -> None:
        with self._changed:
            partition = self._open.pop(batch, None)
            if partition is not None and self._partitions.get(partition.number) is partition:
                self._commits[partition.number] = offset
            self._changed.notify_all()

    def _dropped(self, batch: int) -> None:
        with self._changed:
            partition = self._open.pop(batch, None)
            if partition is not None:
                partition.drop_lines()
            self._changed.notify_all()
