"""The partitions of a source, between its threads."""

from __future__ import annotations

from hookline.relay.sources.broker.open_broker import require_address
from hookline.relay.sources.kafka.assignment import MAX_WAITING_BYTES, MAX_WAITING_LINES, Assignment
from hookline.relay.sources.kafka.kafka_address import kafka_address
from hookline.relay.sources.source import Batch

ADDRESS = kafka_address(require_address("kafka://localhost/t?group=g"))


def assigned(*numbers: int, end: int | None = None) -> Assignment:
    """An assignment whose partitions are read from 0 on."""
    assignment = Assignment(ADDRESS, follow=end is None, acknowledges=True)
    assignment.cluster = "c"
    assignment.assign(numbers)
    for number in numbers:
        assignment.place(number, follows=0, offset=0, high=0, end=end)
    assignment.settle()
    return assignment


def durable(batch: Batch) -> None:
    assert batch.on_durable is not None
    batch.on_durable()


def dropped(batch: Batch) -> None:
    assert batch.on_dropped is not None
    batch.on_dropped()


def unplaced(assignment: Assignment) -> list[int]:
    return [one.number for one in assignment.unplaced()]


def test_partitions_take_turns() -> None:
    """One that has many messages does not delay the others."""
    assignment = assigned(0, 1)
    assignment.add([(0, n, b"x") for n in range(1200)])
    assignment.add([(1, n, b"x") for n in range(3)])
    batches = [assignment.take(0) for _ in range(4)]
    assert [("0", 500), ("1", 503 - 500), ("0", 500), ("0", 200)] == [
        (batch.source[-1], len(batch.lines)) for batch in batches
    ]
    assert [0, 0, 500, 1000] == [batch.position.follows for batch in batches]
    assert {ADDRESS.key("c", 0), ADDRESS.key("c", 1)} == {batch.position.key for batch in batches}


def test_offsets_are_committed_once_they_are_durable() -> None:
    """The offset of a partition that was revoked is committed by its next owner."""
    assignment = assigned(0, 1)
    assignment.add([(0, 0, b"x"), (1, 4, b"y")])
    first, second = assignment.take(0), assignment.take(0)
    assert {} == assignment.take_commits()
    durable(second)
    assert {1: 5} == assignment.take_commits()
    assert {} == assignment.take_commits()
    assignment.revoke([0])
    durable(first)
    assert {} == assignment.take_commits()


def test_the_start_is_found_after_open_batches() -> None:
    """An open batch moves the position, or is dropped. Only then is the stored position the place to continue from,
    also when the partition went away and came back in the meantime."""
    assignment = assigned(0)
    assignment.add([(0, n, b"x") for n in range(1200)])
    first, second = assignment.take(0), assignment.take(0)
    dropped(first)
    assert [] == unplaced(assignment)
    assert not assignment.take(0).lines
    assignment.revoke([0])
    assignment.assign([0])
    assert [] == unplaced(assignment)
    dropped(second)
    assert [0] == unplaced(assignment)
    dropped(second)  # once for each group of the batch
    assignment.place(0, follows=7, offset=7, high=7, end=None)
    assignment.add([(0, 6, b"x"), (0, 7, b"y")])
    assert (7, 8) == ((batch := assignment.take(0)).position.follows, batch.position.offset)


def test_lines_that_were_fetched_are_read_before_the_start_is_found_again() -> None:
    """The log may not have them any more."""
    assignment = assigned(0)
    assignment.add([(0, 0, b"x")])
    assignment.find_again(0)
    assignment.add([(0, 1, b"y")])
    assert [] == unplaced(assignment)
    batch = assignment.take(0)
    assert [b"x"] == [line.data for line in batch.lines]
    assert [] == unplaced(assignment)
    durable(batch)
    assert [0] == unplaced(assignment)


def test_a_run_ends_when_all_is_durable() -> None:
    """Not before: a batch that is dropped is read again."""
    assignment = assigned(0, 1, end=2)
    assert [0] == assignment.add([(0, n, b"x") for n in range(3)])
    assignment.skip_to(1, 2)
    batch = assignment.take(0)
    assert [0, 1] == [line.number for line in batch.lines]
    assert not assignment.take(0).end
    dropped(batch)
    assert not assignment.take(0).end
    assignment.place(0, follows=1, offset=1, high=2, end=2)
    assignment.add([(0, 1, b"x")])
    again = assignment.take(0)
    assert not assignment.take(0).end
    durable(again)
    assert assignment.take(0).end


def test_a_topic_that_is_followed_has_no_end() -> None:
    """A relay may have no partition at all, until another relay ends."""
    assignment = assigned(0)
    assignment.revoke([0])
    assert not assignment.take(0).end
    finite = assigned(0, end=5)
    finite.revoke([0])
    assert finite.take(0).end


def test_a_revoked_partition_is_of_no_concern() -> None:
    """Its lines are not read, its messages are not taken, and its end is not waited for."""
    assignment = assigned(0, 1, end=1)
    assignment.add([(0, 0, b"x")])
    assignment.revoke([0])
    assert [] == assignment.add([(0, 0, b"x")])
    assert not assignment.take(0).lines
    assert ["kafka://localhost/t/1?group=g"] == [lag.source for lag in assignment.lags()]
    assignment.skip_to(1, 1)
    assert assignment.take(0).end


def test_the_lag_counts_messages_that_were_not_handed_out() -> None:
    """The record at the end of a transaction is no message that is missing."""
    assignment = assigned(0)
    assignment.add([(0, n, b"x") for n in range(600)])
    assignment.note_high(0, 1001)
    lags = [assignment.lags()[0]]
    assignment.take(0)
    lags.append(assignment.lags()[0])
    assignment.take(0)
    assignment.skip_to(0, 1001)
    lags.append(assignment.lags()[0])
    assert [(0, 1001), (500, 501), (600, 0)] == [(lag.position.offset, lag.unread_messages) for lag in lags]


def test_the_lines_that_wait_are_bounded() -> None:
    """By their number and by their bytes."""
    assignment = assigned(0, 1)
    assignment.add([(n % 2, n // 2, b"x") for n in range(MAX_WAITING_LINES - 1)])
    assert assignment.wait_for_room(0)
    assignment.add([(1, MAX_WAITING_LINES, b"x")])
    assert not assignment.wait_for_room(0)
    assignment.take(0)
    assert assignment.wait_for_room(0)
    assignment.add([(0, MAX_WAITING_LINES + n, b"x" * (MAX_WAITING_BYTES // 8)) for n in range(9)])
    assert not assignment.wait_for_room(0)


def test_the_end_of_the_run_ends_a_wait() -> None:
    """Lines that were not handed out remain in the log."""
    assignment = assigned(0)
    assignment.add([(0, 0, b"x")])
    assignment.finish()
    batch = assignment.take(60)
    assert (True, []) == (batch.end, batch.lines)
