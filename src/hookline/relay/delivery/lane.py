"""One endpoint's lane: which of its waiting deliveries is attempted when, and what each attempt's end means.

A lane holds a bounded window of the deliveries that are pending in the spool, runs as many workers as its gate and
its concurrency allow, and hands settlements on. It never writes: what it holds is pending until the spool says
otherwise, so that a lane may be dropped at any moment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Final, Protocol

from hookline.model import Ordering, Webhook
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord, AttemptSeries, Endpoint, attempt
from hookline.relay.delivery.backoff import next_delay
from hookline.relay.delivery.circuit_breaker import BreakerPhase, CircuitBreaker
from hookline.relay.delivery.counters import OUTCOMES, WebhookCounters
from hookline.relay.delivery.rate_limiter import RateLimiter
from hookline.relay.delivery.response_policy import (
    ConfirmOnce,
    Dead,
    Delivered,
    EndpointGone,
    PauseEndpoint,
    PolicyAction,
    RefreshToken,
    Retry,
)
from hookline.relay.spool.spool import QueuedDelivery, Settlement, State

MAX_REFUSALS_PER_EVENT: Final = 3
MIN_PREFETCH: Final = 32
MAX_PREFETCH: Final = 512
# Outcomes that are not durable yet are repeated by a crash, so they are few; but a group of them is written at once,
# so they are not too few either.
MIN_UNWRITTEN: Final = 64


def max_unwritten(concurrency: int) -> int:
    """How many outcomes of one webhook may wait to be written. A crash repeats those, and what is on the wire."""
    return max(MIN_UNWRITTEN, 4 * concurrency)


class LaneListener(Protocol):
    """What a lane tells its surroundings; called from the event loop, and must not block."""

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None: ...

    def attempted(self, lane: Lane, item: QueuedDelivery, tried: AttemptRecord) -> None: ...

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None: ...

    def request_refill(self, lane: Lane) -> None:
        """Its window has room, and there may be more in the spool."""
        ...


class Lane:
    """Made anew when the webhook's configuration changes: `configuration` is its hash. `counters` are added
    to."""

    def __init__(
        self,
        webhook: Webhook,
        endpoint: Endpoint,
        listener: LaneListener,
        *,
        configuration: str,
        counters: WebhookCounters,
        clock: RelayClock,
        random: Random,
    ) -> None:
        policy = webhook.delivery
        self.webhook = webhook
        self.configuration = configuration
        self.address = webhook.address
        self.endpoint = endpoint
        self.ordered = policy.ordering is Ordering.MESSAGE
        self.paused = False
        self.window = MIN_PREFETCH
        self.cursor = 0
        self.unread = True
        self.next_due: float | None = None
        self.known: set[int] = set()
        self.breaker = CircuitBreaker(
            concurrency=policy.concurrency,
            first_interval=policy.retry.initial_delay.total_seconds(),
            longest_interval=policy.retry.max_delay.total_seconds(),
            jitter=random.random,
        )
        self.max_age = policy.retry.max_age.total_seconds()
        self._rate_limiter = RateLimiter(policy.rate_limit)
        self._max_delay = policy.retry.max_delay.total_seconds()
        self._max_unwritten = max_unwritten(policy.concurrency)
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._random = random
        self._new: deque[QueuedDelivery] = deque()
        self._retries: deque[QueuedDelivery] = deque()
        self._again_next = False
        self._workers: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._unwritten = 0
        self._last_success = 0.0
        self._stopping = False

    @property
    def held(self) -> bool:
        """Disabled or paused: keeps its deliveries, sends nothing, and does not keep a finite run from ending."""
        return self.paused or not self.webhook.enabled

    @property
    def busy(self) -> int:
        """How many attempts are under way."""
        return len(self._workers)

    @property
    def _closed(self) -> bool:
        return self._stopping or self.held or self.breaker.phase is BreakerPhase.GONE

    @property
    def room_for_fresh(self) -> int:
        """How many more never attempted deliveries it takes. They and the retries have a queue each: neither
        keeps the other from being loaded."""
        return 0 if self._closed else self.window - len(self._new)

    @property
    def room_for_due(self) -> int:
        """How many more retries it takes."""
        return 0 if self._closed else self.window - len(self._retries)

    @property
    def needs_refill(self) -> bool:
        """Whether loading more is worth a query."""
        return self.unread and 2 * self.room_for_fresh > self.window

    def wants_due(self, now: float) -> bool:
        """Whether a retry is due that may not be loaded yet, and there is room for it."""
        return self.next_due is not None and self.next_due <= now and 2 * self.room_for_due >= self.window

    @property
    def full(self) -> bool:
        """Whether so many outcomes are not durable yet that nothing more is started."""
        return self._unwritten >= self._max_unwritten

    def offer(self, items: Iterable[QueuedDelivery]) -> None:
        """Take deliveries into the window; what is there already is left out."""
        for item in items:
            if item.seq not in self.known:
                self.known.add(item.seq)
                (self._new if item.due is None else self._retries).append(item)

    def loaded(self, asked: int, given: int) -> None:
        """A question for deliveries was answered. A lane that always gets as many as it asks for is a busy one: its
        window grows, so that fewer questions serve more deliveries."""
        if given == asked and self.breaker.phase is BreakerPhase.CLOSED:
            self.window = min(2 * self.window, MAX_PREFETCH)

    def forget(self, seq: int) -> None:
        """The spool has the outcome of this delivery."""
        self.known.discard(seq)
        self._unwritten -= 1

    def in_flight(self) -> set[int]:
        """What is being attempted, or is settled and not written yet."""
        return self.known - {item.seq for item in (*self._new, *self._retries)}

    def reload_prefetch(self) -> None:
        """Forget what is queued: it is loaded again, fresh ones from the first, retries once `next_due` is set."""
        self.known = self.in_flight()
        self._new.clear()
        self._retries.clear()
        self.cursor = 0
        self.unread = True
        self.next_due = None

    def start_attempts(self) -> None:
        """Start workers for what is queued, as far as gate, pace and concurrency allow. Cheap when nothing is."""
        if self._stopping or self.held:
            return
        self._tick()
        while (self._new or self._retries) and not self.full and self.breaker.admits(len(self._workers)):
            if (delay := self._rate_limiter.delay(self._clock.now())) > 0:
                self._wake_in(delay)
                return
            task = asyncio.get_running_loop().create_task(self._work(self._take()))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    def _tick(self) -> None:
        before = self.breaker.phase
        self.breaker.tick(self._clock.now())
        self._note(before)
        if self.breaker.phase is BreakerPhase.OPEN:
            self.window = MIN_PREFETCH
            self._wake_in(self.breaker.until - self._clock.now())

    def _wake_in(self, delay: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(max(delay, 0.001), self.start_attempts)

    def _take(self) -> QueuedDelivery:
        """A fresh delivery and one that waited, in turn; a probe prefers one that was not refused yet."""
        if self._retries and (not self._new or (self._again_next and self.breaker.phase is BreakerPhase.CLOSED)):
            self._again_next = False
            if self.next_due is not None and 2 * len(self._retries) <= self.window:
                self._listener.request_refill(self)
            return self._retries.popleft()
        self._again_next = True
        item = self._new.popleft()
        if self.unread and 2 * len(self._new) < self.window and not self._closed:
            self._listener.request_refill(self)
        return item

    async def _work(self, item: QueuedDelivery) -> None:
        """Attempt one delivery after the other, as long as there is one and this worker may go on."""
        while True:
            settlement = await self._settle(item)
            self._unwritten += 1
            self._listener.settled(self, item, settlement)
            if not (self._new or self._retries) or self._stopping or self.held or self.full:
                break
            if not self.breaker.admits(len(self._workers) - 1) or self._rate_limiter.delay(self._clock.now()) > 0:
                break
            item = self._take()
        # What this worker left behind: a probe that succeeded makes room for two, a pace has its next turn later.
        if self._new or self._retries:
            asyncio.get_running_loop().call_soon(self.start_attempts)

    async def _settle(self, item: QueuedDelivery) -> Settlement:
        if self._clock.cautious_now() - item.since >= self.max_age:
            return self._end(item, State.DEAD, _no_turn(item, self._clock.now()), "expired")
        closings = self.breaker.closings
        turn = await attempt(self.endpoint, item, clock=self._clock.now, max_delay=self._max_delay, told=self._told)
        self._learn(turn.verdict, turn.ended, late=closings != self.breaker.closings)
        match turn.verdict:
            case Delivered():
                self._last_success = turn.ended
                return self._end(item, State.DELIVERED, turn, None)
            case Retry(reason):
                delay = next_delay(self.webhook.delivery.retry, item.tries + 1, self._random.random())
                return _settlement(
                    item, State.PENDING, turn, reason=reason, due=turn.ended + delay, tries=item.tries + 1
                )
            case PauseEndpoint(reason):
                return self._refused(item, turn, reason)
            case EndpointGone(reason) | Dead(reason) | RefreshToken(reason) | ConfirmOnce(reason):
                return self._end(item, State.DEAD, turn, reason)

    def _end(self, item: QueuedDelivery, state: State, turn: AttemptSeries, reason: str | None) -> Settlement:
        self._counters.latency.add(self._clock.cautious_now() - item.since)
        return _settlement(item, state, turn, reason=reason)

    def _told(self, item: QueuedDelivery, tried: AttemptRecord) -> None:
        self._counters.attempts[OUTCOMES[type(tried.verdict)]] += 1
        self._listener.attempted(self, item, tried)

    def _learn(self, verdict: PolicyAction, now: float, *, late: bool) -> None:
        """What an attempt says of the endpoint. `late`: the gate has closed since it began."""
        before = self.breaker.phase
        match verdict:
            case EndpointGone(reason):
                self.breaker.stopped(reason)
            case Retry(reason, wait) if late:
                self.breaker.came_late(now, reason, wait)
            case _ if late:
                pass
            case Retry(reason, wait):
                self.breaker.failed(now, reason, network=not reason.startswith("http "), wait=wait)
            case PauseEndpoint(reason):
                self.breaker.held(now, reason)
            case Delivered() | Dead() | RefreshToken() | ConfirmOnce():
                # Refusing one event is the endpoint at work: for the gate it is as good as taking it.
                self.breaker.succeeded(now)
        self._note(before)

    def _note(self, before: BreakerPhase) -> None:
        if self.breaker.phase is not before:
            self._listener.phase_changed(self, before)

    def _refused(self, item: QueuedDelivery, turn: AttemptSeries, reason: str) -> Settlement:
        """The endpoint is held. An event that is refused again and again while others pass is itself the reason."""
        others_passed = item.refusals == 0 or (item.due or 0.0) < self._last_success
        refusals = item.refusals + others_passed
        if refusals >= MAX_REFUSALS_PER_EVENT:
            return self._end(item, State.DEAD, turn, f"refused as probe: {reason}")
        return _settlement(item, State.PENDING, turn, reason=reason, due=turn.ended, refusals=refusals)

    # -- what the surroundings tell

    def pause(self, paused: bool) -> None:
        """By hand, or no longer. What is in flight is finished."""
        if paused is not self.paused:
            self.paused = paused
            self.reload_prefetch()

    def hurry(self) -> None:
        """Try the endpoint at once, whatever it was found to be."""
        before = self.breaker.phase
        self.breaker.hurried()
        self._note(before)
        self.start_attempts()

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`: no wait in memory becomes longer by them.

        The latest success moves too. Otherwise it would lie after every later refusal, which would count against
        an event that is not at fault.
        """
        self.breaker.clock_set_back(seconds)
        self._last_success -= seconds
        self._rate_limiter = RateLimiter(self.webhook.delivery.rate_limit)

    async def stop(self, grace: float) -> None:
        """Start nothing more; give what is in flight `grace` seconds; what is not answered then stays pending."""
        self._stopping = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self.endpoint.aclose()


def _no_turn(item: QueuedDelivery, now: float) -> AttemptSeries:
    """Too old to be attempted once more."""
    return AttemptSeries(0, Dead("expired"), None, item.history, now)


def _settlement(
    item: QueuedDelivery,
    state: State,
    turn: AttemptSeries,
    *,
    reason: str | None = None,
    due: float | None = None,
    tries: int | None = None,
    refusals: int | None = None,
) -> Settlement:
    return Settlement(
        seq=item.seq,
        address=item.address,
        order_key=item.order_key,
        state=state,
        attempts=item.attempts + turn.posts,
        tries=item.tries if tries is None else tries,
        refusals=item.refusals if refusals is None else refusals,
        posts=turn.posts,
        due=due,
        reason=reason,
        http=turn.http,
        history=turn.history,
    )
