"""Hands the deliveries that were just stored to their lanes, from memory, while the lanes have room.

A lane that is behind gets none: it loads its deliveries from the spool, and is caught up once it has all. So is a
lane that sends nothing now. Reading waits for lanes without room, which is cheaper than a backlog: a file or log for
longer than a pipe, because the lines of a pipe are safe only in the spool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from hookline.model import Address
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.lane import Lane
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest

MAX_NEW_PER_LANE: Final = 1500
MAX_NEW_IN_ALL_LANES: Final = 20_000
# The longest wait before a group of 500 lines: a lane that is slow leaves the others at least 2,000 lines a second.
MAX_WAIT_SECONDS: Final = 0.25
# The same for a pipe. Slow lanes leave it some 9,000 lines a second, because its writer may be unable to wait.
MAX_PIPE_WAIT_SECONDS: Final = 0.05


class HandOver:
    """The hand-over from the ingester to the lanes of one dispatcher. Implements group_writer.DeliverySide."""

    def __init__(
        self,
        lanes: Mapping[Address, Lane],
        on_enqueued: Callable[[Iterable[Address]], None],
        *,
        on_waiting: Callable[[], None],
    ) -> None:
        """Create it.

        Args:
            lanes: The current lanes.
            on_enqueued: Called with the webhooks that have new deliveries in the spool only.
            on_waiting: Called if deliveries were stored that wait for an earlier event of their message.
        """
        self._lanes = lanes
        self._on_enqueued = on_enqueued
        self._on_waiting = on_waiting
        self._holding: dict[Address, Lane] = {}
        self._room_changed = asyncio.Event()

    def requests(self, deliveries: Mapping[Address, int]) -> list[DequeueRequest]:
        """The requests of the lanes that take some of these deliveries, which are about to be stored."""
        left = MAX_NEW_IN_ALL_LANES - self._held()
        requests = []
        for address in deliveries:
            lane = self._lanes.get(address)
            if lane is not None and (room := min(left, self._room(lane))) > 0:
                requests.append(DequeueRequest(address, lane.queue.cursor, room, lane.ordered))
                left -= min(room, deliveries[address])
        return requests

    def enqueued(self, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        """The deliveries are stored. Takes the answers to requests, if the lanes still want them."""
        in_spool = dict(deliveries)
        for answer in answers:
            address = answer.request.address
            lane = self._lanes.get(address)
            if lane is not None and lane.queue.is_caught_up and lane.queue.take_new(answer):
                self._holding[address] = lane
                if len(answer.items) < answer.request.limit:
                    del in_spool[address]
                    if len(answer.items) < deliveries[address]:
                        self._on_waiting()
                else:
                    lane.queue.widen_window()
                lane.start_attempts()
        self._on_enqueued(in_spool)

    async def wait_for_room(self, deliveries: Mapping[Address, int], *, is_kept: bool) -> None:
        """Wait while the lanes of most of these deliveries send, but have no room: at most MAX_WAIT_SECONDS, or
        MAX_PIPE_WAIT_SECONDS for lines that are kept nowhere else."""
        if not self._lacks_room(deliveries):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WAIT_SECONDS if is_kept else MAX_PIPE_WAIT_SECONDS):
                while self._lacks_room(deliveries):
                    self._room_changed.clear()
                    await self._room_changed.wait()

    def room_changed(self) -> None:
        """Lanes may have more room than before."""
        self._room_changed.set()

    def _lacks_room(self, deliveries: Mapping[Address, int]) -> bool:
        waiting = 0
        for address, number in deliveries.items():
            lane = self._lanes.get(address)
            if lane is not None and _sends(lane) and self._room(lane) < min(number, MAX_NEW_PER_LANE):
                waiting += number
        return 2 * waiting > sum(deliveries.values())

    def _room(self, lane: Lane) -> int:
        return MAX_NEW_PER_LANE - lane.queue.new_deliveries if _sends(lane) and lane.queue.is_caught_up else 0

    def _held(self) -> int:
        self._holding = {
            address: lane
            for address, lane in self._holding.items()
            if lane.queue.new_deliveries and self._lanes.get(address) is lane
        }
        return sum(lane.queue.new_deliveries for lane in self._holding.values())


def _sends(lane: Lane) -> bool:
    return not lane.suspended and lane.breaker.phase is BreakerPhase.CLOSED
