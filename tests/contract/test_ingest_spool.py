"""The conformance suite of spool.IngestSpool."""

from __future__ import annotations

import msgspec
import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, balanced, bodies, fresh, intake, put
from hookline.errors import MessagesKnown, PositionMoved
from hookline.relay.delivery_record import WHOLE_LINE, Delivery, Line
from hookline.relay.sources.source import Messages, Position
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import DequeueRequest, IngestBatch, RejectedLine, State


def test_position_and_rows_survive_together(store: SpoolStore) -> None:
    """After a restart the spool has the source's position and the deliveries that it covers."""
    one = store.open(since="now")
    one.enqueue(intake(delivery("a"), line=7), now=0.0, dedupe_window=DAY)
    one.close()
    two = store.open(since="now")
    assert [7] == [position.line for position in two.positions()]
    assert [b"a"] == bodies(fresh(two))
    two.close()


def test_a_known_id_is_a_duplicate_while_pending_dead_or_lately_delivered(spool: Spool) -> None:
    """An event that is read again is counted as a duplicate and not sent again, in any state."""
    put(spool, delivery("a"), delivery("b"), delivery("c"))
    pending, dead, done = fresh(spool)
    spool.settle([settlement(dead, State.DEAD, reason="http 422"), settlement(done)], now=10.0)
    put(spool, delivery("a"), delivery("b"), delivery("c"), now=20.0)
    assert (6, 3, 1) == tuple(spool.tally()[what] for what in ("read", "duplicates", "pending"))
    assert [pending.seq] == [item.seq for item in fresh(spool)]


def test_a_delivered_id_counts_again_when_the_window_is_over(spool: Spool) -> None:
    """After the dedupe window, or with a window of 0, a delivered event that is read again is sent again."""
    put(spool, delivery("a"), delivery("b"))
    spool.settle([settlement(item) for item in fresh(spool)], now=10.0)
    put(spool, delivery("a"), now=10.0 + DAY)
    put(spool, delivery("b"), now=11.0, window=0.0)
    assert [b"a", b"b"] == bodies(fresh(spool, after=2))
    assert balanced(spool.tally())


def test_a_revived_record_counts_as_one_less(spool: Spool) -> None:
    """A delivery that is sent again after the window is not counted as a record while it is pending."""
    put(spool, delivery("a"), now=0.0)
    spool.settle([settlement(fresh(spool)[0])], now=1.0)
    put(spool, delivery("a"), delivery("a"), now=3 * DAY)
    tally = spool.tally()
    assert (0, 1, 1) == (tally["records"], tally["pending"], tally["duplicates"])


def test_a_rejected_line_is_kept_once(spool: Spool) -> None:
    """A rejected line that is read again from the same place is a duplicate; another line is not."""
    spool.enqueue(intake(rejected=2), now=0.0, dedupe_window=DAY)
    spool.enqueue(intake(rejected=3), now=0.0, dedupe_window=DAY)
    assert (5, 3, 2) == tuple(spool.tally()[what] for what in ("read", "rejected", "duplicates"))


def test_a_replayed_line_is_read_again(store: SpoolStore, spool: Spool) -> None:
    """A replayed line is returned until a batch replaces it, and the tally counts it."""
    spool.enqueue(intake(rejected=2), now=0.0, dedupe_window=DAY)
    with store.dead_letters() as dead:
        assert 1 == dead.replay(Filter(ids=("line-1",)), now=1.0).lines
    (line,) = spool.replayed_lines(limit=10)
    assert (1, "events", b"broken 0") == (line.n, line.source, line.line.data)
    replacing = msgspec.structs.replace(intake(delivery("a")), position=None, read=0, replaced_lines=[1])
    spool.enqueue(replacing, now=2.0, dedupe_window=DAY)
    assert ([], 1) == (spool.replayed_lines(limit=10), spool.tally()["replayed"])
    assert balanced(spool.tally())


def test_long_lines_are_read_again_in_small_groups(store: SpoolStore, spool: Spool) -> None:
    """Each call returns a bounded number of bytes, and the calls together return all lines."""
    lines = [Line(n, b"%02d" % n * 2**19, 2**20) for n in range(10)]
    refused = [RejectedLine(line, WHOLE_LINE, "not JSON") for line in lines]
    given = msgspec.structs.replace(intake(), read=len(lines), rejected=refused)
    spool.enqueue(given, now=0.0, dedupe_window=DAY)
    with store.dead_letters() as dead:
        dead.replay(Filter(), now=1.0)
    groups = []
    while group := spool.replayed_lines(limit=500):
        groups.append(len(group))
        again = msgspec.structs.replace(
            intake(), position=None, replaced_lines=[one.n for one in group], skipped={"x": len(group)}
        )
        spool.enqueue(again, now=2.0, dedupe_window=DAY)
    assert [4, 4, 2] == groups
    assert balanced(spool.tally())


def test_a_window_of_zero_is_off(spool: Spool) -> None:
    """A delivered event is sent again, also after the clock was set back. A pending one is a duplicate."""
    put(spool, delivery("a"), now=100.0)
    spool.settle([settlement(fresh(spool)[0])], now=100.0)
    put(spool, delivery("a"), now=50.0, window=0.0)
    put(spool, delivery("a"), now=50.0, window=0.0)
    assert (1, 1) == (spool.tally()["pending"], spool.tally()["duplicates"])


def test_the_requests_of_lanes_are_answered_as_by_a_query(spool: Spool) -> None:
    """An answer has the deliveries of the batch that may be sent now, and the place after which the lane goes on."""
    events = [delivery(name, order_key=key) for name, key in (("a", 1), ("b", 2), ("c", 1), ("d", None))]
    request = DequeueRequest(ACME, 0, 2, True)
    enqueued = spool.enqueue(intake(*events), now=0.0, dedupe_window=DAY, requests=[request])
    assert 4 == enqueued.pending
    for answer in enqueued.answers:
        assert (request, [b"a", b"b"]) == (answer.request, bodies(answer.items))
        assert [b"d"] == bodies(fresh(spool, after=answer.cursor))


def test_no_request_is_answered_past_an_earlier_delivery(spool: Spool) -> None:
    """The lane has not taken the first batch yet."""
    put(spool, delivery("a"))
    requests = [DequeueRequest(ACME, 0, 10, True)]
    enqueued = spool.enqueue(intake(delivery("b"), line=2), now=0.0, dedupe_window=DAY, requests=requests)
    assert all([b"a", b"b"] == bodies(answer.items) for answer in enqueued.answers)


STREAM, OTHER_STREAM = b"0123456789abcdef", b"fedcba9876543210"


def from_stream(*numbers: int, stream: bytes = STREAM, floor: int = 0, redelivered: int = 0) -> IngestBatch:
    """A batch of messages that are all skipped: no other trace of them remains in the spool."""
    return msgspec.structs.replace(
        intake(skip=len(numbers)),
        read=len(numbers) + redelivered,
        messages=Messages(stream, numbers, floor),
        redelivered=redelivered,
    )


def test_a_message_is_stored_once(store: SpoolStore) -> None:
    """A batch with a known message is refused as a whole, the error names the known ones; also after a restart."""
    one = store.open(since="now")
    one.enqueue(from_stream(1, 2, 5), now=0.0, dedupe_window=DAY)
    one.close()
    two = store.open(since="now")
    before, positions = two.tally(), two.positions()
    with pytest.raises(MessagesKnown) as refused:
        two.enqueue(msgspec.structs.replace(from_stream(2, 3, 5, 9), position=Position(name="x", key=b"x")),
                    now=1.0, dedupe_window=DAY)  # fmt: skip
    assert {2, 5} == refused.value.numbers
    assert (before, positions) == (two.tally(), two.positions())
    two.enqueue(from_stream(3, 9, redelivered=2), now=2.0, dedupe_window=DAY)
    assert (7, 5, 2) == tuple(two.tally()[what] for what in ("read", "skipped:skip", "duplicates"))
    assert balanced(two.tally())
    two.close()


def test_a_batch_of_known_messages_only_counts_duplicates(spool: Spool) -> None:
    """Without new messages, the redelivered ones are counted."""
    spool.enqueue(from_stream(1), now=0.0, dedupe_window=DAY)
    spool.enqueue(from_stream(redelivered=1), now=1.0, dedupe_window=DAY)
    assert (2, 1, 1) == tuple(spool.tally()[what] for what in ("read", "skipped:skip", "duplicates"))


def test_messages_are_known_by_their_stream(spool: Spool) -> None:
    """The same number in another stream is another message."""
    spool.enqueue(from_stream(1, 2), now=0.0, dedupe_window=DAY)
    spool.enqueue(from_stream(1, 2, stream=OTHER_STREAM), now=0.0, dedupe_window=DAY)
    assert 4 == spool.tally()["read"]


def test_messages_up_to_the_floor_are_forgotten(spool: Spool) -> None:
    """The stream does not deliver them again, so that the number of known messages is bounded."""
    spool.enqueue(from_stream(1, 2, 3), now=0.0, dedupe_window=DAY)
    spool.enqueue(from_stream(1, stream=OTHER_STREAM), now=0.0, dedupe_window=DAY)
    spool.enqueue(from_stream(4, floor=2), now=0.0, dedupe_window=DAY)
    with pytest.raises(MessagesKnown) as refused:
        spool.enqueue(from_stream(1, 2, 3, 4), now=0.0, dedupe_window=DAY)
    assert {3, 4} == refused.value.numbers
    with pytest.raises(MessagesKnown):
        spool.enqueue(from_stream(1, stream=OTHER_STREAM), now=0.0, dedupe_window=DAY)
    spool.enqueue(from_stream(1, 2), now=0.0, dedupe_window=DAY)
    assert 7 == spool.tally()["read"]


def test_a_refused_batch_does_not_change_the_lanes(spool: Spool) -> None:
    """Deliveries of a refused batch are stored when they come again, and in order."""
    stored = msgspec.structs.replace(intake(delivery("a", order_key=1)), messages=Messages(STREAM, [1]))
    spool.enqueue(stored, now=0.0, dedupe_window=DAY)
    both = [delivery("b", order_key=1), delivery("c", order_key=2)]
    with pytest.raises(MessagesKnown):
        spool.enqueue(msgspec.structs.replace(intake(*both), messages=Messages(STREAM, [1, 2])),
                      now=0.0, dedupe_window=DAY)  # fmt: skip
    spool.enqueue(msgspec.structs.replace(intake(*both), messages=Messages(STREAM, [2, 3])),
                  now=0.0, dedupe_window=DAY)  # fmt: skip
    assert [b"a", b"c"] == bodies(fresh(spool))
    assert [b"b"] == bodies(spool.settle([settlement(fresh(spool)[0])], now=1.0))


def log_batch(*deliveries: Delivery, follows: int, offset: int, key: bytes = b"part 0") -> IngestBatch:
    position = Position(name="kafka://host/topic/0", line=offset, offset=offset, key=key, follows=follows)
    return msgspec.structs.replace(intake(*deliveries), position=position)


def test_a_position_that_follows_the_stored_one_is_stored(spool: Spool) -> None:
    """The first one follows 0. Each part of a log has its own position, which may also go back."""
    for follows, offset, key in ((0, 7, b"part 0"), (0, 5, b"part 1"), (7, 9, b"part 0"), (9, 3, b"part 0")):
        batch = log_batch(delivery(f"{key!r} {offset}"), follows=follows, offset=offset, key=key)
        spool.enqueue(batch, now=1.0, dedupe_window=DAY)
    stored = {one.key: one for one in spool.positions()}
    assert {b"part 0": 3, b"part 1": 5} == {key: one.offset for key, one in stored.items()}
    assert {None} == {one.follows for one in stored.values()}
    assert 4 == len(fresh(spool))


def test_a_batch_of_a_position_that_was_moved_is_not_stored(store: SpoolStore, spool: Spool) -> None:
    """Another reader was faster: the spool stores and counts nothing of the batch, and goes on as before."""
    spool.enqueue(log_batch(delivery("a", order_key=1), follows=0, offset=7), now=1.0, dedupe_window=DAY)
    before = spool.tally()
    for follows in (0, 6, 8):
        batch = msgspec.structs.replace(
            log_batch(delivery("b", order_key=2), follows=follows, offset=9), skipped={"x": 1}, read=2
        )
        with pytest.raises(PositionMoved):
            spool.enqueue(batch, now=1.0, dedupe_window=DAY, requests=[DequeueRequest(ACME, 0, 10, True)])
    assert (before, [7]) == (spool.tally(), [one.offset for one in spool.positions()])
    later = log_batch(delivery("b", order_key=2), delivery("c", order_key=1), follows=7, offset=9)
    request = DequeueRequest(ACME, fresh(spool)[0].seq, 10, True)
    enqueued = spool.enqueue(later, now=1.0, dedupe_window=DAY, requests=[request])
    assert (3, [b"a", b"b"]) == (enqueued.pending, bodies(fresh(spool)))
    assert all([b"b"] == bodies(answer.items) for answer in enqueued.answers)
    (settled, _) = fresh(spool)
    assert [b"c"] == bodies(spool.settle([settlement(settled)], now=2.0))
    assert [9] == [one.offset for one in store.dry_run().positions()]
