"""Stores groups of lines in the spool, and hands their deliveries to the lanes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest, Enqueued, IngestBatch


class DeliverySide(Protocol):
    """The lanes, as ingest sees them. It passes the number of deliveries of a group, by webhook."""

    async def wait_for_room(self, deliveries: Mapping[Address, int], *, is_kept: bool) -> None:
        """Called before a group is stored. Waits a short time if the lanes fall behind. `is_kept`: the lines are also
        in a file or log."""

    def requests(self, deliveries: Mapping[Address, int]) -> list[DequeueRequest]:
        """Called before each group is stored. Returns the requests of lanes that take deliveries from memory."""

    def enqueued(self, deliveries: Mapping[Address, int], answers: Sequence[DequeueAnswer]) -> None:
        """Called after each group is durable, with the answers of the spool."""


class GroupWriter:
    """Stores the groups of one run, each in one transaction."""

    def __init__(
        self, thread: SpoolThread, lanes: DeliverySide, *, dedupe_window: float, clock: RelayClock, log: Log
    ) -> None:
        """Create it.

        Args:
            thread: Runs calls on the spool.
            lanes: Take the deliveries that are stored.
            dedupe_window: Seconds for which a delivered id is a duplicate. 0 turns the window off.
            clock: The relay's clock.
            log: Receives a line for each rejected line.
        """
        self._thread = thread
        self._spool = thread.spool
        self._lanes = lanes
        self._dedupe_window = dedupe_window
        self._clock = clock
        self._log = log

    async def write(self, group: IngestBatch, *, is_kept: bool = True) -> int:
        """Store a group, and hand its deliveries to the lanes. `is_kept`: its lines are also kept elsewhere.

        Returns the number of pending deliveries. Raises like `IngestSpool.enqueue`.
        """
        deliveries = Counter(new.delivery.address for new in group.deliveries)
        await self._lanes.wait_for_room(deliveries, is_kept=is_kept)
        requests = self._lanes.requests(deliveries)
        enqueued = await self._thread.retry_while_stalled("reading", self._enqueue, group, requests)
        self._lanes.enqueued(deliveries, enqueued.answers)
        for rejected in group.rejected:
            self._log.info("rejected", source=group.source, line=rejected.line.number, reason=rejected.reason)
        return enqueued.pending

    def _enqueue(self, group: IngestBatch, requests: Sequence[DequeueRequest]) -> Enqueued:
        """Runs in the spool's thread. The dedupe window begins before the cautious time, so that a clock that was set
        forward does not shorten it.
        """
        now = self._clock.now()
        window = self._dedupe_window and self._dedupe_window + now - self._clock.cautious_now()
        return self._spool.enqueue(group, now=now, dedupe_window=window, requests=requests)
