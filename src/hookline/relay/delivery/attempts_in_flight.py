"""The attempts of one lane that are in flight, each as a quick post or in a worker.

A worker is a task: it applies the response policy to each result and may make another attempt at once. While the
circuit breaker is closed, an attempt begins as a quick post, which needs no task. Almost every event is accepted, and
then the next quick post begins in the callback of the result. For any other result, a worker takes over
(docs/decisions/0061-callbacks-on-the-hot-path.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

from hookline.model import RetryPolicy
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord, AttemptSeries, Endpoint, FirstPost, attempt
from hookline.relay.delivery.circuit_breaker import BreakerPhase, CircuitBreaker
from hookline.relay.delivery.quick_post import QuickPost
from hookline.relay.http.exchange import ExchangeResult, Response
from hookline.relay.spool.spool_values import QueuedDelivery

# A name of the module costs a tenth of an enumeration's attribute before Python 3.12.
_CLOSED: Final = BreakerPhase.CLOSED
# Notes the delivery with an id in the spool. In the block, no other delivery is in hand. None: it is not necessary.
TakeInHand = Callable[[bytes], AbstractAsyncContextManager[None] | None]


class AttemptOwner(Protocol):
    """The lane. It decides which attempts start, and receives their results."""

    def attempted(self, item: QueuedDelivery, record: AttemptRecord) -> None:
        """An attempt has ended. Not called if `accepted` is."""

    def accepted(self, item: QueuedDelivery, http: int, *, started: float, ended: float, late: bool) -> None:
        """The first attempt of the delivery was accepted, with this HTTP status.

        `started` and `ended` are even times of the relay's clock. `late`: the circuit breaker has opened in between.
        """

    def ended(self, item: QueuedDelivery, series: AttemptSeries, *, late: bool) -> None:
        """All attempts of the delivery have ended. Not called after `accepted`."""

    async def may_continue(self, item: QueuedDelivery, times_opened: int) -> bool:
        """Wait until another attempt of the delivery may go out, and return whether it may at all."""

    def following(self) -> QueuedDelivery | None:
        """The delivery to attempt after one that has just ended; None if there is none, or it must wait."""

    def put_back(self, item: QueuedDelivery) -> bool:
        """Return the delivery to the queue if no attempt may start now. False: its attempt may start."""

    def requeue(self, item: QueuedDelivery) -> None:
        """Return the delivery to the queue, because `may_continue` did not permit its attempt."""


class AttemptsInFlight:
    """The attempts of one lane. Its length is their number."""

    def __init__(
        self,
        endpoint: Endpoint,
        owner: AttemptOwner,
        *,
        policy: RetryPolicy,
        clock: RelayClock,
        breaker: CircuitBreaker,
        take_in_hand: TakeInHand | None,
    ) -> None:
        """Create it without an attempt.

        Args:
            endpoint: Receives the requests.
            owner: Decides, and receives the results.
            policy: The webhook's retry policy.
            clock: The relay's clock.
            breaker: The lane's circuit breaker.
            take_in_hand: Takes each delivery in hand first, until it returns None.
        """
        self._endpoint = endpoint
        self._owner = owner
        self._policy = policy
        self._clock = clock
        self._breaker = breaker
        self._take_in_hand = take_in_hand
        self._quick_posts: dict[QuickPost, None] = {}  # ordered, unlike a set
        self._workers: dict[asyncio.Task[None], QueuedDelivery] = {}
        self._quick_posts_ended: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._quick_posts) + len(self._workers)

    def ids(self) -> Iterator[bytes]:
        """The ids of the deliveries that are being attempted."""
        yield from (item.id for item in self._workers.values())
        yield from (post.item.id for post in self._quick_posts)

    def start(self, item: QueuedDelivery) -> None:
        """Make an attempt of the delivery, and then of those that follow."""
        if not self._start_quick_post(item):
            self._start_worker(item)

    def _start_quick_post(self, item: QueuedDelivery) -> bool:
        post = QuickPost(self._endpoint, self._answered)
        if not self._begin(post, item, self._clock.elapsed()):
            return False
        self._quick_posts[post] = None
        return True

    def _begin(self, post: QuickPost, item: QueuedDelivery, started: float) -> bool:
        """Use a quick post. False: a worker must make the attempt, also while the breaker probes."""
        breaker = self._breaker
        if breaker.phase is not _CLOSED or breaker.is_probing or self._take_in_hand is not None:
            return False
        return post.begin(item, at=self._clock.at(started), started=started, times_opened=breaker.times_opened)

    def _answered(self, post: QuickPost, result: ExchangeResult) -> None:
        """The result of a quick post. If the event was accepted, the next one follows."""
        item = post.item
        if type(result) is not Response or not 200 <= result.status < 300:
            self._end(post)
            self._start_worker(item, FirstPost(result, post.started, post.times_opened))
            return
        now = self._clock.elapsed()  # the end of this post, and the beginning of the next one
        late = post.times_opened != self._breaker.times_opened
        self._owner.accepted(item, result.status, started=post.started, ended=now, late=late)
        following = self._owner.following()
        if following is not None and self._begin(post, following, now):
            return
        self._end(post)
        if following is not None:
            self._start_worker(following)

    def _end(self, post: QuickPost) -> None:
        self._quick_posts.pop(post, None)
        if self._quick_posts_ended is not None and not self._quick_posts:
            self._quick_posts_ended.set()

    def _start_worker(self, item: QueuedDelivery, first: FirstPost | None = None) -> None:
        task = asyncio.get_running_loop().create_task(self._work(item, first))
        self._workers[task] = item
        task.add_done_callback(lambda ended: self._workers.pop(ended, None))

    async def _work(self, item: QueuedDelivery, first: FirstPost | None) -> None:
        """Attempt one delivery after the other, until none follows, or a quick post takes over.

        `first` is the result of the first attempt, if it was made already.
        """
        # A response that arrived since this worker was created may forbid attempts now.
        if first is None and self._owner.put_back(item):
            return
        task = asyncio.current_task()
        assert task is not None
        while True:
            await self._attempt_in_hand(item, first)
            following = self._owner.following()
            del self._workers[task]  # it is not in flight any more when the quick post begins
            if following is None or self._start_quick_post(following):
                return
            self._workers[task] = item = following
            first = None

    async def _attempt_in_hand(self, item: QueuedDelivery, first: FirstPost | None) -> None:
        if first is not None or self._take_in_hand is None or (in_hand := self._take_in_hand(item.id)) is None:
            self._take_in_hand = None
            await self._attempt(item, first)
            return
        times_opened = self._breaker.times_opened
        async with in_hand:
            if await self._owner.may_continue(item, times_opened):
                await self._attempt(item, None)
                return
        self._owner.requeue(item)

    async def _attempt(self, item: QueuedDelivery, first: FirstPost | None) -> None:
        breaker = self._breaker
        times_opened = breaker.times_opened if first is None else first.times_opened
        series = await attempt(
            self._endpoint,
            item,
            self._policy,
            clock=self._clock,
            on_attempt=self._owner.attempted,
            may_continue=lambda: self._owner.may_continue(item, times_opened),
            refusals_in_a_row=lambda: breaker.refusals_in_a_row,
            first=first,
        )
        self._owner.ended(item, series, late=times_opened != breaker.times_opened)

    async def finish(self, grace_seconds: float) -> None:
        """Wait for the attempts in flight. Those that take longer than `grace_seconds` are cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + grace_seconds
        if self._quick_posts:
            self._quick_posts_ended = self._quick_posts_ended or asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._quick_posts_ended.wait()
        for post in list(self._quick_posts):
            post.cancel()
            self._end(post)
        if workers := list(self._workers):  # also those that took over from a quick post
            await asyncio.wait(workers, timeout=max(0.0, due - loop.time()))
            late = [task for task in workers if not task.done()]
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
