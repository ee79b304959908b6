"""Chooses the delivery of each probe: in turn the oldest, the newest, and one of another message.

An endpoint may fail because of the events and not because of itself. If every probe took the oldest delivery, a run
of such events would keep the endpoint closed for all others. The choice reaches beyond the prefetched deliveries, so
the spool makes it (DequeueSpool.dequeue_probe).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from hookline.model import Address
from hookline.relay.spool.spool_values import ProbeRequest, QueuedDelivery


class _Progress(Enum):
    """How far the choice of the next probe is."""

    NOTHING = auto()
    REQUESTED = auto()
    ANSWERED = auto()


class ProbeChoice:
    """The choice of one lane. `queue` holds the chosen delivery until the lane takes it."""

    TURNS: Final = ("oldest", "newest", "another message")

    def __init__(self, address: Address, random: Callable[[], float]) -> None:
        self.queue: deque[QueuedDelivery] = deque()
        self._address = address
        self._random = random
        self._turn = 0
        self._order_key: int | None = None
        self._progress = _Progress.NOTHING

    @property
    def answered(self) -> bool:
        """Whether the spool has chosen a delivery, or has none to choose from."""
        return self._progress is _Progress.ANSWERED

    def begin(self) -> bool:
        """Whether the lane must request a choice now, because it has not done so yet."""
        is_new = self._progress is _Progress.NOTHING
        if is_new:
            self._progress = _Progress.REQUESTED
        return is_new

    def request(self, *, ordered: bool) -> ProbeRequest:
        """The question for the spool. A place is a part of the backlog, from the oldest (0.0) to the newest (1.0)."""
        turn = self.TURNS[self._turn]
        place = {"oldest": 0.0, "newest": 1.0}.get(turn)
        return ProbeRequest(
            address=self._address,
            place=self._random() if place is None else place,
            other_than=self._order_key if place is None else None,
            ordered=ordered,
        )

    def answer(self, item: QueuedDelivery | None) -> None:
        """The choice of the spool; None: the lane takes the next delivery that it has."""
        self._progress = _Progress.ANSWERED
        if item is not None:
            self.queue.append(item)

    def taken(self, item: QueuedDelivery) -> None:
        """The lane attempts this delivery."""
        self._order_key = item.order_key
        self._progress = _Progress.NOTHING

    def failed(self) -> None:
        """The probe has failed: the next one takes its turn. After a success, the same turn is the best one."""
        self._turn = (self._turn + 1) % len(self.TURNS)

    def reset(self) -> None:
        """Forget a choice that was not taken."""
        self.queue.clear()
        self._progress = _Progress.NOTHING
