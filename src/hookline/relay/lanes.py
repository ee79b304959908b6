"""One endpoint's lane: which of its waiting deliveries is attempted when, and what each attempt's end means.

A lane holds a bounded window of the deliveries that are pending in the spool, runs as many workers as its gate and
its concurrency allow, and hands settlements on. It never writes: what it holds is pending until the spool says
otherwise, so that a lane may be dropped at any moment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Final, Protocol

from hookline.model import Ordering, Webhook
from hookline.relay.attempts import attempt
from hookline.relay.delivery.gate import Gate, Phase
from hookline.relay.delivery.outcome import Confirm, Dead, Delivered, Hold, Renew, Retry, Stop, Verdict
from hookline.relay.delivery.pace import Pace
from hookline.relay.delivery.port import Endpoint
from hookline.relay.delivery.retry import next_delay
from hookline.relay.spool.port import Settlement, Waiting
from hookline.relay.spool.schema import State

REFUSALS_OF_ONE: Final = 3
SMALLEST_QUEUE: Final = 32
LARGEST_QUEUE: Final = 512


class LaneListener(Protocol):
    """What a lane tells its surroundings; called from the event loop, and must not block."""

    def settled(self, lane: Lane, settlement: Settlement) -> None: ...

    def attempted(self, lane: Lane, item: Waiting, verdict: Verdict, number: int, seconds: float) -> None: ...

    def phase_changed(self, lane: Lane, before: Phase) -> None: ...


class Lane:
    """Made anew when the webhook's configuration changes. `clock` gives Unix seconds."""

    def __init__(
        self,
        webhook: Webhook,
        endpoint: Endpoint,
        listener: LaneListener,
        *,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        policy = webhook.delivery
        self.webhook = webhook
        self.address = webhook.address
        self.endpoint = endpoint
        self.ordered = policy.ordering is Ordering.MESSAGE
        self.queue_size = max(SMALLEST_QUEUE, min(LARGEST_QUEUE, 8 * policy.concurrency))
        self.cursor = 0
        self.unread = True
        self.next_due: float | None = None
        self.known: dict[int, Waiting] = {}
        self.gate = Gate(
            concurrency=policy.concurrency,
            first_interval=policy.retry.initial_delay.total_seconds(),
            longest_interval=policy.retry.max_delay.total_seconds(),
            jitter=random.random,
        )
        self._pace = Pace(policy.rate_limit)
        self._max_age = policy.retry.max_age.total_seconds()
        self._max_delay = policy.retry.max_delay.total_seconds()
        self._listener = listener
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
        """Disabled: keeps its deliveries, sends nothing, and does not keep a finite run from ending."""
        return not self.webhook.enabled

    @property
    def room_for_fresh(self) -> int:
        """How many more never attempted deliveries it takes. They and the retries have a queue each: neither
        keeps the other from being loaded."""
        return 0 if self.held or self._stopping else self.queue_size - len(self._fresh)

    @property
    def room_for_due(self) -> int:
        """How many more retries it takes."""
        return 0 if self.held or self._stopping else self.queue_size - len(self._again)

    @property
    def hungry(self) -> bool:
        """Whether loading more is worth a query."""
        return self.unread and 2 * self.room_for_fresh > self.queue_size

    @property
    def full(self) -> bool:
        """Whether as many outcomes as the webhook's concurrency are not durable yet: then nothing more is started.

        What is on the wire and what is being written is what a crash repeats: twice the concurrency, no more.
        """
        return self._unwritten >= self.webhook.delivery.concurrency

    def offer(self, items: Iterable[Waiting]) -> None:
        """Take deliveries into the window; what is there already is left out."""
        for item in items:
            if item.seq not in self.known:
                self.known[item.seq] = item
                (self._fresh if item.due is None else self._again).append(item)

    def forget(self, seq: int) -> None:
        """The spool has the outcome of this delivery."""
        self.known.pop(seq, None)
        self._unwritten -= 1

    def in_flight(self) -> set[int]:
        """What is being attempted, or is settled and not written yet."""
        return self.known.keys() - {item.seq for item in (*self._fresh, *self._again)}

    def drop_queued(self) -> None:
        """Forget what is not in flight."""
        busy = self.in_flight()
        self.known = {seq: item for seq, item in self.known.items() if seq in busy}
        self._fresh.clear()
        self._again.clear()

    def pump(self) -> None:
        """Start workers for what is queued, as far as gate, pace and concurrency allow. Cheap when nothing is."""
        if self._stopping or self.held:
            return
        self._tick()
        while (self._fresh or self._again) and not self.full and self.gate.admits(len(self._workers)):
            if (delay := self._pace.delay(self._clock())) > 0:
                self._wake_in(delay)
                return
            task = asyncio.get_running_loop().create_task(self._work(self._take()))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)

    def _tick(self) -> None:
        before = self.gate.phase
        self.gate.tick(self._clock())
        self._note(before)
        if self.gate.phase is Phase.WAITING:
            self._wake_in(self.gate.until - self._clock())

    def _wake_in(self, delay: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(max(delay, 0.001), self.pump)

    def _take(self) -> Waiting:
        """A fresh delivery and one that waited, in turn; a probe prefers one that was not refused yet."""
        if self._again and (not self._fresh or (self._again_next and self.gate.phase is Phase.OPEN)):
            self._again_next = False
            return self._again.popleft()
        self._again_next = True
        return self._fresh.popleft()

    async def _work(self, item: Waiting) -> None:
        """Attempt one delivery after the other, as long as there is one and this worker may go on."""
        while True:
            settlement = await self._settle(item)
            self._unwritten += 1
            self._listener.settled(self, settlement)
            may_go_on = (self._fresh or self._again) and not self.full and self.gate.admits(len(self._workers) - 1)
            if self._stopping or not may_go_on or self._pace.delay(self._clock()) > 0:
                break
            item = self._take()
        # What this worker left behind: a probe that succeeded makes room for two, a pace has its next turn later.
        asyncio.get_running_loop().call_soon(self.pump)

    async def _settle(self, item: Waiting) -> Settlement:
        if self._clock() - item.since >= self._max_age:
            return self._settlement(item, State.DEAD, 0, reason="expired")
        posts, verdict, http = await attempt(
            self.endpoint,
            item,
            clock=self._clock,
            max_delay=self._max_delay,
            told=partial(self._listener.attempted, self, item),
        )
        now = self._clock()
        self._learn(verdict, now)
        match verdict:
            case Delivered():
                self._last_success = now
                return self._settlement(item, State.DELIVERED, posts, http=http)
            case Retry(reason):
                return self._again_later(item, posts, now, reason, http)
            case Hold(reason):
                return self._refused(item, posts, now, reason, http)
            case Stop(reason) | Dead(reason) | Renew(reason) | Confirm(reason):
                return self._settlement(item, State.DEAD, posts, reason=reason, http=http)

    def _learn(self, verdict: Verdict, now: float) -> None:
        before = self.gate.phase
        match verdict:
            case Retry(reason, wait):
                self.gate.failed(now, reason, network=not reason.startswith("http "), wait=wait)
            case Hold(reason):
                self.gate.held(now, reason)
            case Stop(reason):
                self.gate.stopped(reason)
            case Delivered() | Dead() | Renew() | Confirm():
                # Refusing one event is the endpoint at work: for the gate it is as good as taking it.
                self.gate.succeeded(now)
        self._note(before)

    def _note(self, before: Phase) -> None:
        if self.gate.phase is not before:
            self._listener.phase_changed(self, before)

    def _again_later(self, item: Waiting, posts: int, now: float, reason: str, http: int | None) -> Settlement:
        delay = next_delay(self.webhook.delivery.retry, item.tries + 1, self._random.random())
        return self._settlement(
            item, State.PENDING, posts, due=now + delay, tries=item.tries + 1, reason=reason, http=http
        )

    def _refused(self, item: Waiting, posts: int, now: float, reason: str, http: int | None) -> Settlement:
        """The endpoint is held. An event that is refused again and again while others pass is itself the reason."""
        others_passed = item.refusals == 0 or (item.due or 0.0) < self._last_success
        refusals = item.refusals + others_passed
        if refusals >= REFUSALS_OF_ONE:
            return self._settlement(item, State.DEAD, posts, reason=f"refused as probe: {reason}", http=http)
        return self._settlement(item, State.PENDING, posts, due=now, refusals=refusals, reason=reason, http=http)

    def _settlement(
        self,
        item: Waiting,
        state: State,
        posts: int,
        *,
        due: float | None = None,
        tries: int | None = None,
        refusals: int | None = None,
        reason: str | None = None,
        http: int | None = None,
    ) -> Settlement:
        return Settlement(
            seq=item.seq,
            order_key=item.order_key if self.ordered else None,
            state=state,
            attempts=item.attempts + posts,
            tries=item.tries if tries is None else tries,
            refusals=item.refusals if refusals is None else refusals,
            posts=posts,
            due=due,
            reason=reason,
            http=http,
        )

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
