"""A post that needs no task. The endpoint calls back with the result, and the next post may begin in this call."""

from __future__ import annotations

from collections.abc import Callable

from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.http.exchange import Attempt, ExchangeResult
from hookline.relay.http.transport import BegunPost
from hookline.relay.spool.spool_values import QueuedDelivery


class QuickPost:
    """One post in flight. It serves one delivery after the other.

    `item` is the delivery. `started` is the relay's even time, and `times_opened` counts how often the lane's circuit
    breaker had opened, both at the beginning of the post.
    """

    __slots__ = ("_begun", "_endpoint", "_on_result", "item", "started", "times_opened")

    item: QueuedDelivery
    started: float
    times_opened: int

    def __init__(self, endpoint: Endpoint, on_result: Callable[[QuickPost, ExchangeResult], None]) -> None:
        self._endpoint = endpoint
        self._on_result = on_result
        self._begun: BegunPost | None = None

    def begin(self, item: QueuedDelivery, *, at: float, started: float, times_opened: int) -> bool:
        """Make an attempt of the delivery now. False: the endpoint needs a task for it, and nothing has happened.

        Args:
            item: The delivery.
            at: Unix time.
            started: The relay's even time.
            times_opened: How often the circuit breaker has opened.
        """
        attempt = Attempt(item.id, item.body, item.attempts + 1, at, item.event_time)
        try:
            self._begun = self._endpoint.begin(attempt, self._answered)
        except Exception:  # the port forbids exceptions; a worker reports the defect and keeps the event
            self._begun = None
        if self._begun is None:
            return False
        self.item, self.started, self.times_opened = item, started, times_opened
        return True

    def cancel(self) -> None:
        """End the post. Its result is ignored, and the delivery remains pending."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.cancel()

    def _answered(self, result: ExchangeResult) -> None:
        if self._begun is not None:
            self._on_result(self, result)
