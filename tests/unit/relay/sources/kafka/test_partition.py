"""The lines of one partition that wait for the ingester."""

from __future__ import annotations

import hashlib

from hookline.relay.delivery_record import Line
from hookline.relay.sources.kafka.partition import Partition, message_line
from hookline.relay.sources.line_splitter import KEPT_LINE_BYTES, MAX_LINE_BYTES
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, MAX_LINES_PER_BATCH


def placed(*, follows: int = 0, offset: int = 0, end: int | None = None) -> Partition:
    partition = Partition(3)
    partition.place(follows=follows, offset=offset, high=0, end=end)
    return partition


def test_a_message_is_a_line() -> None:
    """Its number is its offset. A message that is too long keeps its beginning, its length and its hash."""
    assert Line(7, b"a\nb", 3) == message_line(7, b"a\nb\r\n")
    assert Line(0, b"", 0) == message_line(0, None)
    longest = b"x" * MAX_LINE_BYTES
    assert Line(1, longest, MAX_LINE_BYTES) == message_line(1, longest)
    too_long = longest + b"y"
    expected = Line(1, too_long[:KEPT_LINE_BYTES], len(too_long), hashlib.sha256(too_long).digest())
    assert expected == message_line(1, too_long)


def test_the_position_follows_the_one_before() -> None:
    """Offsets that are missing in the log are in no line: the next position is the one after the last message."""
    partition = placed(follows=10, offset=12)
    for offset in (12, 15, 16, 40):
        partition.add(offset, b"%d" % offset)
    lines, follows, offset = partition.take()
    assert ([12, 15, 16, 40], 10, 41) == ([line.number for line in lines], follows, offset)
    partition.add(50, b"")
    assert ([Line(50, b"", 0)], 41, 51) == partition.take()


def test_a_message_that_was_read_is_not_read_again() -> None:
    """The client may have fetched it before reading was moved."""
    partition = placed(offset=5)
    for offset in (3, 4, 5, 5, 4, 6):
        partition.add(offset, b"x")
    assert [5, 6] == [line.number for line in partition.take()[0]]
    partition.drop_lines()
    partition.add(7, b"x")
    assert 0 == partition.waiting_lines == partition.waiting_bytes


def test_batches_are_bounded() -> None:
    """By lines, and by bytes."""
    partition = placed()
    for offset in range(MAX_LINES_PER_BATCH + 1):
        partition.add(offset, b"x")
    assert [MAX_LINES_PER_BATCH, 1] == [len(partition.take()[0]), len(partition.take()[0])]
    for offset in range(1000, 1010):
        partition.add(offset, b"x" * (MAX_BYTES_PER_BATCH // 4))
    assert [4, 4, 2] == [len(partition.take()[0]) for _ in range(3)]
    assert 0 == partition.waiting_bytes


def test_a_partition_ends_at_its_end() -> None:
    """A later message belongs to the next run. The end of a transaction is no message."""
    partition = placed(end=5)
    states = []
    for offset in (0, 7):
        partition.add(offset, b"x")
        states.append((partition.is_at_end, partition.is_finished))
    assert [(False, False), (True, False)] == states
    assert ([Line(0, b"x", 1)], 0, 1) == partition.take()
    assert partition.is_finished
    other = placed(end=5)
    other.skip_to(5)
    assert other.is_finished
    assert placed(offset=5, end=5).is_finished
    assert not placed().is_at_end
