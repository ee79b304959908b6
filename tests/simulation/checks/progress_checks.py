"""The checks of the running relay, each second: bounded memory, and no lane idles while it has work."""

from __future__ import annotations

from typing import Final

from hookline.relay.delivery import hand_over
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane, max_unwritten
from simulation.checks.endpoint_history import EndpointHistories
from simulation.checks.spool_view import SpoolView
from simulation.storage import SimulatedStorage
from simulation.world import World

MAX_IDLE_SECONDS: Final = 4.0
# A lane may hold this many deliveries beyond its queues, its unwritten outcomes and its attempts.
MEMORY_SLACK_DELIVERIES: Final = 500


class ProgressChecks:
    """The checks of one simulation."""

    def __init__(self, world: World, histories: EndpointHistories, storage: SimulatedStorage) -> None:
        self._world = world
        self._histories = histories
        self._storage = storage
        self._clock_set_at = float("-inf")

    def clock_set(self) -> None:
        """Lanes need a moment to notice that the clock was set."""
        self._clock_set_at = self._world.now

    def check_memory(self, dispatcher: Dispatcher) -> None:
        """The lanes hold a bounded number of deliveries, however large the backlog is."""
        for lane in dispatcher.lanes.values():
            concurrency = lane.webhook.delivery.concurrency
            queued = 2 * lane.queue.window + hand_over.MAX_NEW_PER_LANE
            bound = queued + max_unwritten(concurrency) + concurrency + MEMORY_SLACK_DELIVERIES
            if len(lane.queue.known) > bound:
                self._world.violate("bounded memory", f"{lane.address} holds {len(lane.queue.known)} deliveries")

    def check_progress(self, dispatcher: Dispatcher, view: SpoolView) -> None:
        """No lane with an eligible delivery idles."""
        now = self._world.now
        for lane in dispatcher.lanes.values():
            history = self._histories.of(lane.address)
            if self._storage.is_ill or not self._must_work(lane) or not view.has_eligible(lane, self._world.wall()):
                history.idle_since = None
            elif history.idle_since is None or history.last_request_at > history.idle_since:
                history.idle_since = now
            elif now - history.idle_since > MAX_IDLE_SECONDS:
                self._world.violate(
                    "progress",
                    f"{lane.address} ({lane.breaker.phase}) idles since {history.idle_since:.1f} with work",
                )

    def _must_work(self, lane: Lane) -> bool:
        if lane.suspended or lane.attempts_in_flight or lane.breaker.phase is BreakerPhase.GONE:
            return False
        if self._world.now - self._clock_set_at < MAX_IDLE_SECONDS:
            return False
        longest = lane.webhook.delivery.retry.max_delay.total_seconds() + MAX_IDLE_SECONDS
        if lane.breaker.phase is BreakerPhase.OPEN and self._world.now - self._clock_set_at < longest:
            return False  # a wait keeps its length, or ends early
        wait = lane.breaker.until - self._world.wall()
        if lane.breaker.phase is BreakerPhase.OPEN and wait > 0:
            if wait > longest:
                self._world.violate("progress", f"{lane.address} waits {wait:.0f} s for a probe")
            return False
        return True
