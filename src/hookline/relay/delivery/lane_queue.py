"""The deliveries that one lane holds in memory, and how far it has taken those that are pending in the spool.

It holds a bounded number of new deliveries and of retries, and the one that is chosen for a probe. `known` has all
that the lane is responsible for: the queued ones, those in flight, and those whose settlement is not written yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from hookline.relay.delivery.probe_choice import ProbeChoice
from hookline.relay.spool.spool_values import DequeueAnswer, QueuedDelivery

MIN_PREFETCH: Final = 32
MAX_PREFETCH: Final = 512


class LaneQueue:
    """The queue of one lane.

    A new delivery enters by one rule, `take_new`, which moves `cursor` past it. So it enters once, although two ways
    lead there: the lane's queries, and the ingester, which hands over what it has just stored. The lane has taken all
    new deliveries up to `cursor`, except those that wait for an earlier event of their message. With `unread`, the
    spool may have later ones.

    `next_due` is when the first retry is due that may not be loaded yet; None: there is none.
    """

    def __init__(
        self,
        probe: ProbeChoice,
        *,
        takes_nothing: Callable[[], bool],
        request_refill: Callable[[], None],
        request_probe: Callable[[], None],
    ) -> None:
        """Create an empty queue.

        Args:
            probe: The choice of the lane's probes.
            takes_nothing: Whether the lane sends nothing now and so has no room.
            request_refill: Called when the queue has room, and the spool may hold more deliveries for it.
            request_probe: Called when the spool must choose the next probe. Answer with `offer_probe`, later.
        """
        self.probe = probe
        self.window = MIN_PREFETCH
        self.cursor = 0
        self.unread = True
        self.next_due: float | None = None
        self.known: dict[int, None] = {}
        self._takes_nothing = takes_nothing
        self._request_refill = request_refill
        self._request_probe = request_probe
        self._new: deque[QueuedDelivery] = deque()
        self._retries: deque[QueuedDelivery] = deque()
        self._retry_is_next = False

    @property
    def is_empty(self) -> bool:
        return not self._new and not self._retries

    @property
    def room_for_new(self) -> int:
        """How many more deliveries without an attempt fit. Retries have a queue and room of their own."""
        return 0 if self._takes_nothing() else max(0, self.window - len(self._new))

    @property
    def room_for_retries(self) -> int:
        return 0 if self._takes_nothing() else self.window - len(self._retries)

    @property
    def needs_refill(self) -> bool:
        """Whether a query for new deliveries is worth its cost."""
        return self.unread and 2 * self.room_for_new > self.window

    def needs_retries(self, now: float) -> bool:
        """Whether a retry is due that may not be loaded yet, and there is room for it."""
        return self.next_due is not None and self.next_due <= now and 2 * self.room_for_retries >= self.window

    def in_flight(self) -> set[int]:
        """The deliveries that are being attempted, or whose settlement is not written yet."""
        return self.known.keys() - {item.seq for item in (*self._new, *self._retries, *self.probe.queue)}

    @property
    def is_caught_up(self) -> bool:
        """Whether the lane has taken all new deliveries of the spool, so that further ones may be handed over."""
        return not self.unread and self.cursor >= 0

    @property
    def new_deliveries(self) -> int:
        return len(self._new)

    def take_new(self, answer: DequeueAnswer) -> bool:
        """Queue the new deliveries of an answer that come after the cursor, and move it past them.

        Returns False, and takes nothing, if the answer begins after the cursor: the lane was reloaded since the
        request.
        """
        if answer.request.after > self.cursor:
            return False
        self._queue(item for item in answer.items if item.seq > self.cursor)
        self.cursor = max(self.cursor, answer.cursor)
        return True

    def offer(self, items: Iterable[QueuedDelivery]) -> None:
        """Queue retries, and deliveries that waited for an earlier event of their message."""
        for item in items:
            self._taken_beside_the_cursor(item)
            self._queue((item,))

    def _taken_beside_the_cursor(self, item: QueuedDelivery) -> None:
        """If a delivery after the cursor was settled, an answer that is on its way could bring it again. A lane that
        is not caught up takes no such answer, but queries, which find pending deliveries only."""
        if item.seq > self.cursor:
            self.unread = True

    def _queue(self, items: Iterable[QueuedDelivery]) -> None:
        for item in items:
            if item.seq not in self.known:
                self.known[item.seq] = None
                self._queue_of(item).append(item)

    def forget(self, seq: int) -> None:
        """The spool has recorded the settlement of this delivery."""
        self.known.pop(seq, None)

    def put_back(self, item: QueuedDelivery) -> None:
        """Queue a delivery as the next one, because its attempt must not start now."""
        self._queue_of(item).appendleft(item)

    def grow_window(self, requested: int, loaded: int) -> None:
        """Double the window if the spool had all requested deliveries: fewer queries then serve a busy lane."""
        if loaded == requested:
            self.window = min(2 * self.window, MAX_PREFETCH)

    def widen_window(self) -> None:
        """The lane is busy, and the rest of what it gets must be loaded."""
        self.window = MAX_PREFETCH

    def shrink_window(self) -> None:
        """The lane sends nothing for a while: it needs few deliveries afterwards."""
        self.window = MIN_PREFETCH

    def reload(self) -> None:
        """Drop the queued deliveries, to load them again: new ones from the first, retries once `next_due` is set.

        The cursor is then before that of every earlier request, so that no earlier answer is taken.
        """
        self.known = dict.fromkeys(sorted(self.in_flight()))
        self._new.clear()
        self._retries.clear()
        self.probe.reset()
        self.cursor = -1
        self.unread = True
        self.next_due = None

    def first(self, *, probes: bool) -> QueuedDelivery | None:
        """The next delivery, which remains queued until `take`. New deliveries and retries alternate.

        With `probes`, the spool chooses the delivery. If it has none to choose from, a new one is preferred.
        """
        queue = self._next_queue(probes)
        return queue[0] if queue else None

    def _next_queue(self, probes: bool) -> deque[QueuedDelivery]:
        if self.probe.queue:
            return self.probe.queue
        if probes and not self.probe.answered:
            if self.probe.begin():
                self._request_probe()
            return self.probe.queue
        retry_is_next = self._retry_is_next and not probes
        return self._retries if self._retries and (retry_is_next or not self._new) else self._new

    def take(self, item: QueuedDelivery, *, probes: bool) -> None:
        """Remove the delivery that `first` has returned: its attempt starts, or it is too old for one."""
        chosen = bool(self.probe.queue)
        if probes or chosen:
            self.probe.taken(item)
        if chosen:
            self.probe.queue.popleft()
            return
        queue = self._queue_of(item)
        queue.popleft()
        self._retry_is_next = queue is self._new
        self._request_more(queue)

    def offer_probe(self, item: QueuedDelivery | None) -> None:
        """The spool has chosen this delivery for the next probe; None: it has none to choose from."""
        if item is not None and item.seq in self.known:
            queue = self._queue_of(item)
            if (queued := next((one for one in queue if one.seq == item.seq), None)) is not None:
                queue.remove(queued)
                self._request_more(queue)
            item = queued  # it may be in flight by now
        elif item is not None:
            self.known[item.seq] = None
            self._taken_beside_the_cursor(item)
        self.probe.answer(item)

    def _queue_of(self, item: QueuedDelivery) -> deque[QueuedDelivery]:
        return self._new if item.due is None else self._retries

    def _request_more(self, queue: deque[QueuedDelivery]) -> None:
        """Request a refill after each delivery that leaves a queue, so that a lane with work never idles."""
        more = self.unread and not self._takes_nothing() if queue is self._new else self.next_due is not None
        if more and 2 * len(queue) < self.window:
            self._request_refill()
