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
from hookline.relay.delivery.attempt import Endpoint, Tried, Turn, attempt
from hookline.relay.delivery.backoff import next_delay
from hookline.relay.delivery.circuit_breaker import Gate, Phase
from hookline.relay.delivery.counters import OUTCOMES, WebhookCounters
from hookline.relay.delivery.rate_limiter import Pace
from hookline.relay.delivery.response_policy import Confirm, Dead, Delivered, Hold, Renew, Retry, Stop, Verdict
from hookline.relay.spool.spool import Settlement, State, Waiting

REFUSALS_OF_ONE: Final = 3
SMALLEST_WINDOW: Final = 32
LARGEST_WINDOW: Final = 512
# Outcomes that are not durable yet are repeated by a crash, so they are few; but a group of them is written at once,
# so they are not too few either.
LEAST_UNWRITTEN: Final = 64


def most_unwritten(concurrency: int) -> int:
    """How many outcomes of one webhook may wait to be written. A crash repeats those, and what is on the wire."""
    return max(LEAST_UNWRITTEN, 4 * concurrency)


class LaneListener(Protocol):
    """What a lane tells its surroundings; called from the event loop, and must not block."""

    def settled(self, lane: Lane, item: Waiting, settlement: Settlement) -> None: ...

    def attempted(self, lane: Lane, item: Waiting, tried: Tried) -> None: ...

    def phase_changed(self, lane: Lane, before: Phase) -> None: ...

    def hungry(self, lane: Lane) -> None:
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
        self.window = SMALLEST_WINDOW
        self.cursor = 0
        self.unread = True
        self.next_due: float | None = None
        self.known: set[int] = set()
        self.gate = Gate(
            concurrency=policy.concurrency,
            first_interval=policy.retry.initial_delay.total_seconds(),
            longest_interval=policy.retry.max_delay.total_seconds(),
            jitter=random.random,
        )
        self.max_age = policy.retry.max_age.total_seconds()
        self._pace = Pace(policy.rate_limit)
        self._max_delay = policy.retry.max_delay.total_seconds()
        self._most_unwritten = most_unwritten(policy.concurrency)
        self._listener = listener
        self._counters = counters
        self._clock = clock
        self._random = random
        self._fresh: deque[Waiting] = deque()
        self._again: deque[Waiting] = deque()
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
        return self._stopping or self.held or self.gate.phase is Phase.STOPPED

    @property
    def room_for_fresh(self) -> int:
        """How many more never attempted deliveries it takes. They and the retries have a queue each: neither
        keeps the other from being loaded."""
        return 0 if self._closed else self.window - len(self._fresh)

    @property
    def room_for_due(self) -> int:
        """How many more retries it takes."""
        return 0 if self._closed else self.window - len(self._again)

    @property
    def is_hungry(self) -> bool:
        """Whether loading more is worth a query."""
        return self.unread and 2 * self.room_for_fresh > self.window

    def wants_due(self, now: float) -> bool:
        """Whether a retry is due that may not be loaded yet, and there is room for it."""
        return self.next_due is not None and self.next_due <= now and 2 * self.room_for_due >= self.window

    @property
    def full(self) -> bool:
        """Whether so many outcomes are not durable yet that nothing more is started."""
        return self._unwritten >= self._most_unwritten

    def offer(self, items: Iterable[Waiting]) -> None:
        """Take deliveries into the window; what is there already is left out."""
        for item in items:
            if item.seq not in self.known:
                self.known.add(item.seq)
                (self._fresh if item.due is None else self._again).append(item)

    def loaded(self, asked: int, given: int) -> None:
        """A question for deliveries was answered. A lane that always gets as many as it asks for is a busy one: its
        window grows, so that fewer questions serve more deliveries."""
        if given == asked and self.gate.phase is Phase.OPEN:
            self.window = min(2 * self.window, LARGEST_WINDOW)

    def forget(self, seq: int) -> None:
        """The spool has the outcome of this delivery."""
        self.known.discard(seq)
        self._unwritten -= 1

    def in_flight(self) -> set[int]:
        """What is being attempted, or is settled and not written yet."""
        return self.known - {item.seq for item in (*self._fresh, *self._again)}

    def read_anew(self) -> None:
        """Forget what is queued: it is loaded again, fresh ones from the first, retries once `next_due` is set."""
        self.known = self.in_flight()
        self._fresh.clear()
        self._again.clear()
        self.cursor = 0
        self.unread = True
        self.next_due = None

    def pump(self) -> None:
        """Start workers for what is queued, as far as gate, pace and concurrency allow. Cheap when nothing is."""
        if self._stopping or self.held:
            return
        self._tick()
        while (self._fresh or self._again) and not self.full and self.gate.admits(len(self._workers)):
            if (delay := self._pace.delay(self._clock.now())) > 0:
                self._wake_in(delay)
                return
            task = asyncio.get_running_loop().create_task(self._work(self._take()))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    def _tick(self) -> None:
        before = self.gate.phase
        self.gate.tick(self._clock.now())
        self._note(before)
        if self.gate.phase is Phase.WAITING:
            self.window = SMALLEST_WINDOW
            self._wake_in(self.gate.until - self._clock.now())

    def _wake_in(self, delay: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(max(delay, 0.001), self.pump)

    def _take(self) -> Waiting:
        """A fresh delivery and one that waited, in turn; a probe prefers one that was not refused yet."""
        if self._again and (not self._fresh or (self._again_next and self.gate.phase is Phase.OPEN)):
            self._again_next = False
            if self.next_due is not None and 2 * len(self._again) <= self.window:
                self._listener.hungry(self)
            return self._again.popleft()
        self._again_next = True
        item = self._fresh.popleft()
        if self.unread and 2 * len(self._fresh) < self.window and not self._closed:
            self._listener.hungry(self)
        return item

    async def _work(self, item: Waiting) -> None:
        """Attempt one delivery after the other, as long as there is one and this worker may go on."""
        while True:
            settlement = await self._settle(item)
            self._unwritten += 1
            self._listener.settled(self, item, settlement)
            if not (self._fresh or self._again) or self._stopping or self.held or self.full:
                break
            if not self.gate.admits(len(self._workers) - 1) or self._pace.delay(self._clock.now()) > 0:
                break
            item = self._take()
        # What this worker left behind: a probe that succeeded makes room for two, a pace has its next turn later.
        if self._fresh or self._again:
            asyncio.get_running_loop().call_soon(self.pump)

    async def _settle(self, item: Waiting) -> Settlement:
        if self._clock.cautious_now() - item.since >= self.max_age:
            return self._end(item, State.DEAD, _no_turn(item, self._clock.now()), "expired")
        closings = self.gate.closings
        turn = await attempt(self.endpoint, item, clock=self._clock.now, max_delay=self._max_delay, told=self._told)
        self._learn(turn.verdict, turn.ended, late=closings != self.gate.closings)
        match turn.verdict:
            case Delivered():
                self._last_success = turn.ended
                return self._end(item, State.DELIVERED, turn, None)
            case Retry(reason):
                delay = next_delay(self.webhook.delivery.retry, item.tries + 1, self._random.random())
                return _settlement(
                    item, State.PENDING, turn, reason=reason, due=turn.ended + delay, tries=item.tries + 1
                )
            case Hold(reason):
                return self._refused(item, turn, reason)
            case Stop(reason) | Dead(reason) | Renew(reason) | Confirm(reason):
                return self._end(item, State.DEAD, turn, reason)

    def _end(self, item: Waiting, state: State, turn: Turn, reason: str | None) -> Settlement:
        self._counters.latency.add(self._clock.cautious_now() - item.since)
        return _settlement(item, state, turn, reason=reason)

    def _told(self, item: Waiting, tried: Tried) -> None:
        self._counters.attempts[OUTCOMES[type(tried.verdict)]] += 1
        self._listener.attempted(self, item, tried)

    def _learn(self, verdict: Verdict, now: float, *, late: bool) -> None:
        """What an attempt says of the endpoint. `late`: the gate has closed since it began."""
        before = self.gate.phase
        match verdict:
            case Stop(reason):
                self.gate.stopped(reason)
            case Retry(reason, wait) if late:
                self.gate.came_late(now, reason, wait)
            case _ if late:
                pass
            case Retry(reason, wait):
                self.gate.failed(now, reason, network=not reason.startswith("http "), wait=wait)
            case Hold(reason):
                self.gate.held(now, reason)
            case Delivered() | Dead() | Renew() | Confirm():
                # Refusing one event is the endpoint at work: for the gate it is as good as taking it.
                self.gate.succeeded(now)
        self._note(before)

    def _note(self, before: Phase) -> None:
        if self.gate.phase is not before:
            self._listener.phase_changed(self, before)

    def _refused(self, item: Waiting, turn: Turn, reason: str) -> Settlement:
        """The endpoint is held. An event that is refused again and again while others pass is itself the reason."""
        others_passed = item.refusals == 0 or (item.due or 0.0) < self._last_success
        refusals = item.refusals + others_passed
        if refusals >= REFUSALS_OF_ONE:
            return self._end(item, State.DEAD, turn, f"refused as probe: {reason}")
        return _settlement(item, State.PENDING, turn, reason=reason, due=turn.ended, refusals=refusals)

    # -- what the surroundings tell

    def pause(self, paused: bool) -> None:
        """By hand, or no longer. What is in flight is finished."""
        if paused is not self.paused:
            self.paused = paused
            self.read_anew()

    def hurry(self) -> None:
        """Try the endpoint at once, whatever it was found to be."""
        before = self.gate.phase
        self.gate.hurried()
        self._note(before)
        self.pump()

    def clock_set_back(self, seconds: float) -> None:
        """The clock was set back by `seconds`: no wait in memory becomes longer by them.

        The latest success moves too. Otherwise it would lie after every later refusal, which would count against
        an event that is not at fault.
        """
        self.gate.clock_set_back(seconds)
        self._last_success -= seconds
        self._pace = Pace(self.webhook.delivery.rate_limit)

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


def _no_turn(item: Waiting, now: float) -> Turn:
    """Too old to be attempted once more."""
    return Turn(0, Dead("expired"), None, item.history, now)


def _settlement(
    item: Waiting,
    state: State,
    turn: Turn,
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
