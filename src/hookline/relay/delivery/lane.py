"""One endpoint's lane: decides when each of its pending deliveries is attempted, and applies the results.

Its queue (lane_queue.py) prefetches a bounded number of the deliveries that are pending in the spool. The lane makes
as many attempts at once (attempts_in_flight.py) as its circuit breaker and its concurrency permit, and passes
settlements to its listener. A lane never writes to the spool. A delivery remains pending until the spool records
another state, so a lane can be dropped at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple, Protocol

from hookline.model import Ordering, Webhook
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import (
    AttemptRecord,
    AttemptSeries,
    Endpoint,
    delivered,
    fails_alone,
    settle,
)
from hookline.relay.delivery.attempt_turns import AttemptTurns
from hookline.relay.delivery.attempts_in_flight import AttemptsInFlight, TakeInHand
from hookline.relay.delivery.circuit_breaker import BreakerPhase, CircuitBreaker
from hookline.relay.delivery.counters import WebhookCounters
from hookline.relay.delivery.lane_queue import LaneQueue
from hookline.relay.delivery.probe_choice import ProbeChoice
from hookline.relay.delivery.rate_limiter import RateLimiter
from hookline.relay.delivery.response_policy import OUTCOMES, Dead, Delivered
from hookline.relay.spool.spool_values import ProbeRequest, QueuedDelivery, Settlement, State

# A crash repeats the deliveries whose settlements are not written, so there are few of them. The relay writes them in
# groups, so there must not be too few.
MIN_UNWRITTEN: Final = 64
_DELIVERED: Final = Delivered()
# A name of the module costs a tenth of an enumeration's attribute before Python 3.12.
_OPEN, _GONE = BreakerPhase.OPEN, BreakerPhase.GONE
_STATE_PENDING, _STATE_DELIVERED = State.PENDING, State.DELIVERED


def max_unwritten(concurrency: int) -> int:
    """How many settlements of one webhook may be unwritten. A crash repeats these and the attempts in flight."""
    return max(MIN_UNWRITTEN, 4 * concurrency)


class SettlementListener(Protocol):
    """Receives the settlements of lanes."""

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        """A delivery of the lane has an outcome. Called for each one, so it must be cheap for an accepted event."""


class LaneListener(Protocol):
    """Receives a lane's results. The lane calls it from the event loop, so no method may block."""

    @property
    def recorder(self) -> SettlementListener:
        """Receives the settlements. The lane asks for it once, so that an outcome costs one call."""

    def attempted(self, lane: Lane, item: QueuedDelivery, record: AttemptRecord) -> None: ...

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None: ...

    def request_refill(self, lane: Lane) -> None:
        """The lane has room, and the spool may hold more deliveries for it."""

    def request_probe(self, lane: Lane) -> None:
        """The lane may send a probe. Answer its `probe_request` with `offer_probe`, later."""


class SendingConditions(NamedTuple):
    """What an attempt needs first. `may_send`: whether this process still owns the endpoint and may send now; None:
    always. `take_in_hand` takes the delivery in hand, after crashes without a result; None: it is not necessary."""

    may_send: Callable[[], bool] | None = None
    take_in_hand: TakeInHand | None = None


ALWAYS: Final = SendingConditions()


class Lane:
    """Delivers to one endpoint. A changed configuration of the webhook gets a new lane."""

    def __init__(
        self,
        webhook: Webhook,
        endpoint: Endpoint,
        listener: LaneListener,
        *,
        configuration_hash: str,
        counters: WebhookCounters,
        clock: RelayClock,
        random: Random,
        conditions: SendingConditions = ALWAYS,
    ) -> None:
        """Create a lane without deliveries.

        Args:
            webhook: The applied webhook.
            endpoint: Makes the attempts. The lane closes it.
            listener: Receives the results.
            configuration_hash: The hash of the webhook's configuration.
            counters: The counters of the webhook, which may already hold values of an earlier lane.
            clock: The relay's clock.
            random: The source of jitter.
            conditions: What an attempt needs first.
        """
        policy = webhook.delivery
        self.webhook = webhook
        self.configuration_hash = configuration_hash
        self.address = webhook.address
        self.endpoint = endpoint
        self.ordered = policy.ordering is Ordering.MESSAGE
        self.paused = False
        self.abandoned = False  # the process does not own the endpoint any more; set by the dispatcher
        self.queue = LaneQueue(
            ProbeChoice(webhook.address, random.random),
            takes_nothing=lambda: self._takes_nothing,
            request_refill=lambda: listener.request_refill(self),
            request_probe=lambda: listener.request_probe(self),
        )
        self.breaker = CircuitBreaker(
            concurrency=policy.concurrency,
            initial_interval_seconds=policy.retry.initial_delay.total_seconds(),
            max_interval_seconds=policy.retry.max_delay.total_seconds(),
            jitter=random.random,
        )
        self.max_age_seconds = policy.retry.max_age.total_seconds()
        self._retry_policy = policy.retry
        self.rate_limiter = RateLimiter(policy.rate_limit)
        self._turns = AttemptTurns(self.rate_limiter, clock, self.start_attempts)
        self._limited = policy.rate_limit is not None
        self._max_unwritten = max_unwritten(policy.concurrency)
        self._listener = listener
        self._recorder = listener.recorder
        self._counters = counters
        self._clock = clock
        self._jitter = random.random
        self.attempts_in_flight = AttemptsInFlight(
            endpoint,
            self,
            policy=policy.retry,
            clock=clock,
            breaker=self.breaker,
            take_in_hand=conditions.take_in_hand,
        )
        self._timer: asyncio.TimerHandle | None = None
        self._unwritten = 0
        self._last_success = 0.0
        self._stopping = False
        self._may_send = conditions.may_send

    @property
    def suspended(self) -> bool:
        """Disabled or paused: the lane keeps its deliveries, sends nothing, and does not prolong a finite run."""
        return self.paused or not self.webhook.enabled

    @property
    def _takes_nothing(self) -> bool:
        return self._stopping or self.suspended or self.breaker.phase is _GONE or self.on_hold

    @property
    def on_hold(self) -> bool:
        """Whether this process may not send now: its lease is over, or the spool is away."""
        return self._may_send is not None and not self._may_send()

    @property
    def full(self) -> bool:
        """Whether the number of unwritten settlements prevents further attempts."""
        return self._unwritten >= self._max_unwritten

    def forget(self, seq: int) -> None:
        """The spool has recorded the settlement of this delivery."""
        self.queue.forget(seq)
        self._unwritten -= 1

    def start_attempts(self) -> None:
        """Start attempts, as far as breaker, rate limit and concurrency permit. Cheap if nothing is queued."""
        if self._stopping or self.suspended or self.on_hold:
            return
        self._tick()
        while self.breaker.admits(len(self.attempts_in_flight)) and (item := self._next_delivery()) is not None:
            self.attempts_in_flight.start(item)

    def _tick(self) -> None:
        before = self.breaker.phase
        self.breaker.tick(self._clock.now())
        self._report_phase(before)
        if self.breaker.phase is _OPEN:
            self.queue.shrink_window()
            self._wake_in(self.breaker.until - self._clock.now())

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(seconds, 0.001), self.start_attempts)

    def _next_delivery(self) -> QueuedDelivery | None:
        """The delivery to attempt now, which has a turn of the rate limiter; None if there is none.

        Deliveries that are too old become dead letters here. They take no turn: otherwise a backlog of them would use
        up the whole rate, and the events behind them would become too old as well.
        """
        while not self.full and (item := self.queue.first(probes=self.breaker.is_probing)) is not None:
            expired = self._is_expired(item)
            if not expired and self._limited and (delay := self._turns.delay()) != 0:
                if delay is not None:
                    self._wake_in(delay)
                return None
            self.queue.take(item, probes=self.breaker.is_probing)
            if not expired:
                return item
            self._settle(item, AttemptSeries(0, Dead("expired"), None, item.history, self._clock.now()))
        return None

    def _is_expired(self, item: QueuedDelivery) -> bool:
        return self._clock.cautious_now() - item.since >= self.max_age_seconds

    def probe_request(self) -> ProbeRequest | None:
        """The question for the spool; None if the lane needs no answer any more."""
        if self.breaker.is_probing and not self._stopping:
            return self.queue.probe.request(ordered=self.ordered)
        self.queue.probe.reset()
        return None

    def offer_probe(self, item: QueuedDelivery | None) -> None:
        """The spool has chosen this delivery for the next probe; None: it has none to choose from."""
        self.queue.offer_probe(item)
        self.start_attempts()

    def put_back(self, item: QueuedDelivery) -> bool:
        """Return the delivery to the queue if no attempt may start now. False: its attempt may start."""
        if self._takes_nothing or self.breaker.phase is _OPEN:
            self.queue.put_back(item)
            return True
        return False

    def requeue(self, item: QueuedDelivery) -> None:
        """Return the delivery to the queue, because its attempt must not go out now."""
        self.queue.put_back(item)

    def following(self) -> QueuedDelivery | None:
        """The delivery to attempt after one that has just ended; None if there is none, or it must wait."""
        following = None
        if not self._takes_nothing and self.breaker.admits(len(self.attempts_in_flight) - 1):
            following = self._next_delivery()
        # After a successful probe there is room for two workers. A rate limit admits the next attempt later.
        if following is None and not self.queue.is_empty:
            asyncio.get_running_loop().call_soon(self.start_attempts)
        return following

    def accepted(self, item: QueuedDelivery, http: int, *, started: float, ended: float, late: bool) -> None:
        """The first attempt of the delivery was accepted. It was a quick post, so the breaker was closed."""
        now = self._clock.at(ended)
        self.attempted(item, AttemptRecord(item.attempts + 1, _DELIVERED, ended - started, http))
        self.breaker.record(_DELIVERED, now, late=late)
        self._record(item, delivered(item, http), now)

    def ended(self, item: QueuedDelivery, series: AttemptSeries, *, late: bool) -> None:
        """All attempts of the delivery have ended. `late`: the breaker has opened since the first one began."""
        before = self.breaker.phase
        alone = fails_alone(item, series, self._last_success)
        self.breaker.record(series.action, series.ended, late=late, alone=alone)
        if before is BreakerPhase.HALF_OPEN and not late and self.breaker.phase is _OPEN:
            self.queue.probe.failed()
        self._report_phase(before)
        self._settle(item, series)

    def _settle(self, item: QueuedDelivery, series: AttemptSeries) -> None:
        settlement = settle(item, series, self._retry_policy, last_success=self._last_success, jitter=self._jitter)
        self._record(item, settlement, series.ended)

    def _record(self, item: QueuedDelivery, settlement: Settlement, ended: float) -> None:
        if settlement.state is _STATE_DELIVERED:
            self._last_success = ended
        if settlement.state is not _STATE_PENDING:
            self._counters.latency.add(ended - item.since)
        self._unwritten += 1
        self._recorder.settled(self, item, settlement)

    async def may_continue(self, item: QueuedDelivery, times_opened: int) -> bool:
        """Wait for a turn of the rate limiter for a confirming attempt, or for one with a fresh token.

        False: it must not go out, because the lane sends nothing any more, the breaker has opened since the first
        attempt of the delivery, or the delivery is too old.
        """

        def is_permitted() -> bool:
            has_opened = times_opened != self.breaker.times_opened and self.breaker.phase is not BreakerPhase.CLOSED
            return not (self._takes_nothing or has_opened or self._is_expired(item))

        return await self._turns.wait(is_permitted)

    def attempted(self, item: QueuedDelivery, record: AttemptRecord) -> None:
        self._counters.add_attempt(OUTCOMES[type(record.action)], record.seconds, record.http)
        self._listener.attempted(self, item, record)

    def _report_phase(self, before: BreakerPhase) -> None:
        if self.breaker.phase is not before:
            self._turns.interrupt()
            self._listener.phase_changed(self, before)

    def pause(self, paused: bool) -> None:
        """An operator pauses or resumes the webhook. Attempts in flight finish."""
        if paused is not self.paused:
            self.paused = paused
            self._turns.interrupt()
            self.queue.reload()

    def retry_now(self) -> None:
        """Try the endpoint at once, in every phase of its breaker."""
        before = self.breaker.phase
        self.breaker.retry_now()
        self._report_phase(before)
        self.start_attempts()

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`. Waits in memory keep their length.

        The time of the latest success moves too. Otherwise it would lie after every later refusal, and these would
        count against an event that is not at fault.
        """
        self.breaker.clock_set_back(seconds)
        self._last_success -= seconds
        self.start_attempts()  # the timer was set for the time before

    async def stop(self, grace_seconds: float) -> None:
        """Start no attempt, wait for those in flight, and close the endpoint.

        Attempts that take longer than `grace_seconds` are cancelled. Their deliveries remain pending.
        """
        self._stopping = True
        self._turns.interrupt()
        if self._timer is not None:
            self._timer.cancel()
        await self.attempts_in_flight.finish(grace_seconds)
        await self.endpoint.aclose()
