"""The hand-over from the ingester to lanes, and the rule by which a new delivery enters a lane once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from builders import queued_delivery, webhook
from hookline.model import Address
from hookline.relay.clock import RelayClock
from hookline.relay.delivery import hand_over
from hookline.relay.delivery.counters import WebhookCounters
from hookline.relay.delivery.hand_over import HandOver
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.lane_queue import MAX_PREFETCH, MIN_PREFETCH
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest
from unit.relay.delivery.test_lane import Notes, Scripted, always

pytestmark = pytest.mark.anyio

ONE, TWO = Address("acme", "one"), Address("acme", "two")


def lane_of(address: Address) -> Lane:
    """A lane that queues but attempts nothing by itself: it is full."""
    lane = Lane(
        webhook(address), Scripted(always(200)), Notes(), configuration_hash="", counters=WebhookCounters(),
        clock=RelayClock(lambda: 1000.0, lambda: 1000.0), random=Random(1),
    )  # fmt: skip
    lane._unwritten = 1000
    return lane


class Desk:
    """Two lanes that have taken all that the spool has, and a hand-over."""

    def __init__(self) -> None:
        self.lanes = {address: lane_of(address) for address in (ONE, TWO)}
        self.in_spool: list[Address] = []
        self.waiting: list[None] = []
        self.hand_over = HandOver(self.lanes, self.in_spool.extend, on_waiting=lambda: self.waiting.append(None))
        for lane in self.lanes.values():
            lane.queue.unread = False

    def answer(self, address: Address, seqs: Sequence[int], limit: int = 100, after: int = 0) -> DequeueAnswer:
        items = [queued_delivery(seq, address=address, since=1000.0) for seq in seqs]
        return DequeueAnswer(DequeueRequest(address, after, limit, True), items, max(seqs))

    def rooms(self, **deliveries: int) -> dict[str, int]:
        wanted = {Address("acme", name): number for name, number in deliveries.items()}
        return {one.address.sandbox: one.limit for one in self.hand_over.requests(wanted)}


async def test_a_delivery_that_was_handed_over_is_not_loaded() -> None:
    """The answer of a query that began before the hand-over adds only the later ones, and the other way round."""
    desk = Desk()
    queue = desk.lanes[ONE].queue
    desk.hand_over.enqueued({ONE: 2}, [desk.answer(ONE, [1, 2])])
    assert queue.take_new(desk.answer(ONE, [1, 2, 3]))
    assert (3, [1, 2, 3], 3) == (queue.cursor, list(queue.known), queue.new_deliveries)
    for seq in (1, 2, 3):  # settled: the lane does not remember them
        queue.forget(seq)
    desk.hand_over.enqueued({ONE: 3}, [desk.answer(ONE, [2, 3, 4])])
    assert (4, [4]) == (queue.cursor, list(queue.known))
    assert [] == desk.in_spool


async def test_an_answer_from_before_a_reload_is_not_taken() -> None:
    """Deliveries of the answer may be dead letters by now. The lane loads those that are not."""
    desk = Desk()
    queue = desk.lanes[ONE].queue
    late = desk.answer(ONE, [5])
    queue.reload()
    desk.hand_over.enqueued({ONE: 1}, [late])
    assert not queue.take_new(late)
    assert ([], [ONE], {}) == (list(queue.known), desk.in_spool, desk.rooms(one=1))


async def test_a_lane_that_is_behind_gets_nothing() -> None:
    """As long as the spool may have earlier deliveries for it, also one that was chosen for a probe or waited."""
    desk = Desk()
    first, second = (desk.lanes[address].queue for address in (ONE, TWO))
    first.offer_probe(queued_delivery(7, address=ONE))
    second.offer([queued_delivery(7, address=TWO)])
    assert {} == desk.rooms(one=1, two=1)
    desk.hand_over.enqueued({ONE: 1}, [desk.answer(ONE, [7])])
    assert (0, [7], [ONE]) == (first.cursor, list(first.known), desk.in_spool)


async def test_a_lane_that_sends_nothing_gets_nothing() -> None:
    """A circuit breaker that is open, and a pause."""
    desk = Desk()
    desk.lanes[ONE].breaker.pause(1000.0, "http 404")
    desk.lanes[TWO].paused = True
    assert {} == desk.rooms(one=1, two=1)
    assert not desk.hand_over._lacks_room({ONE: 5, TWO: 5})


async def test_the_room_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each lane, and of all together. The deliveries beyond it are in the spool only, and the lane loads them in
    large groups."""
    monkeypatch.setattr(hand_over, "MAX_NEW_PER_LANE", 3)
    monkeypatch.setattr(hand_over, "MAX_NEW_IN_ALL_LANES", 4)
    desk = Desk()
    assert {"one": 3, "two": 2} == desk.rooms(one=2, two=2)
    desk.hand_over.enqueued({ONE: 2, TWO: 1}, [desk.answer(ONE, [1, 2]), desk.answer(TWO, [3], limit=1)])
    assert [TWO] == desk.in_spool  # its answer reached the limit: there may be more
    assert (MIN_PREFETCH, MAX_PREFETCH) == tuple(lane.queue.window for lane in desk.lanes.values())
    assert {"one": 1} == desk.rooms(one=2, two=2)


async def test_reading_waits_while_most_deliveries_find_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until the lane has room. A slow lane with less than half of them does not delay the others."""
    monkeypatch.setattr(hand_over, "MAX_NEW_PER_LANE", 3)
    monkeypatch.setattr(hand_over, "MAX_WAIT_SECONDS", 60.0)
    desk = Desk()
    desk.hand_over.enqueued({ONE: 3}, [desk.answer(ONE, [1, 2, 3])])
    async with asyncio.timeout(60.0):
        await desk.hand_over.wait_for_room({ONE: 1, TWO: 1}, is_kept=True)
        waiting = asyncio.create_task(desk.hand_over.wait_for_room({ONE: 2, TWO: 1}, is_kept=True))
        for seq in (1, 2):
            await asyncio.sleep(0)
            desk.hand_over.room_changed()
            await asyncio.sleep(0)
            assert not waiting.done()
            desk.lanes[ONE].queue.take(queued_delivery(seq, address=ONE), probes=False)
        desk.hand_over.room_changed()
        await waiting


@pytest.mark.parametrize(
    ("is_kept", "limit", "other"),
    [(True, "MAX_WAIT_SECONDS", "MAX_PIPE_WAIT_SECONDS"), (False, "MAX_PIPE_WAIT_SECONDS", "MAX_WAIT_SECONDS")],
)
async def test_the_wait_for_room_is_short(
    monkeypatch: pytest.MonkeyPatch, limit: str, other: str, *, is_kept: bool
) -> None:
    """A lane that stays full costs each group one bounded wait, and that of a pipe has a limit of its own."""
    monkeypatch.setattr(hand_over, "MAX_NEW_PER_LANE", 1)
    monkeypatch.setattr(hand_over, limit, 0.01)
    monkeypatch.setattr(hand_over, other, 3600.0)
    desk = Desk()
    desk.hand_over.enqueued({ONE: 1}, [desk.answer(ONE, [1])])
    async with asyncio.timeout(60.0):
        await desk.hand_over.wait_for_room({ONE: 1}, is_kept=is_kept)


@pytest.mark.parametrize(("stored", "handed_over", "waits"), [(2, [1, 2], False), (3, [1, 2], True)])
async def test_deliveries_that_wait_for_another_are_reported(
    stored: int, handed_over: list[int], *, waits: bool
) -> None:
    """An answer leaves out those whose message has an earlier event."""
    desk = Desk()
    desk.hand_over.enqueued({ONE: stored}, [desk.answer(ONE, handed_over)])
    assert ([None] if waits else []) == desk.waiting
    assert [] == desk.in_spool


async def test_deliveries_beyond_the_limit_do_not_wait_for_another() -> None:
    """They are loaded from the spool."""
    desk = Desk()
    desk.hand_over.enqueued({ONE: 5}, [desk.answer(ONE, [1, 2], limit=2)])
    assert [] == desk.waiting
    assert [ONE] == desk.in_spool
