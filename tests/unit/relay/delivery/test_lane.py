"""One endpoint's lane, with a scripted endpoint, without a socket and without a spool."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import builders
from builders import queued_delivery
from hookline.model import Address, DeliveryPolicy, RetryPolicy, Webhook
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import AttemptRecord, AttemptSeries, Endpoint, delivered, settle
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import WebhookCounters
from hookline.relay.delivery.lane import Lane, max_unwritten
from hookline.relay.delivery.response_policy import Delivered, Retry
from hookline.relay.http.exchange import Attempt, ExchangeResult, Failure, FailureKind, Response
from hookline.relay.http.transport import BegunPost, OnResult
from hookline.relay.spool.spool_values import ProbeRequest, QueuedDelivery, Settlement, State
from hookline.units import parse_duration, parse_rate
from virtual_time import run_in_virtual_time

pytestmark = pytest.mark.anyio

ADDRESS = Address("acme", "prod")
Script = Callable[[Attempt], ExchangeResult]


class Scripted(Endpoint):
    """An endpoint that answers by a function and records the attempts.

    `begins`: it makes attempts without a worker, and counts them in `begun`. `hangs`: it does not answer.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.attempts: list[Attempt] = []
        self.renewals = self.begun = 0
        self.begins = True
        self.hangs = False
        self.cancelled: list[Attempt] = []
        self.at_once = self.most_at_once = 0

    async def post(self, attempt: Attempt) -> ExchangeResult:
        self._arrive(attempt)
        try:
            await (asyncio.Event().wait() if self.hangs else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.append(attempt)
            raise
        return self._answer(attempt)

    def begin(self, attempt: Attempt, on_result: OnResult) -> BegunPost | None:
        if not self.begins:
            return None
        self.begun += 1
        self._arrive(attempt)
        return BegunAttempt(self, attempt, on_result)

    def _arrive(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

    def _answer(self, attempt: Attempt) -> ExchangeResult:
        self.at_once -= 1
        return self.script(attempt)

    def renew(self) -> None:
        self.renewals += 1

    async def aclose(self) -> None:
        pass


class BegunAttempt:
    """An attempt without a worker."""

    def __init__(self, endpoint: Scripted, attempt: Attempt, on_result: OnResult) -> None:
        self.endpoint, self.attempt, self.on_result = endpoint, attempt, on_result
        if not endpoint.hangs:
            asyncio.get_running_loop().call_soon(self.end)

    def end(self) -> None:
        self.on_result(self.endpoint._answer(self.attempt))

    def cancel(self) -> None:
        self.endpoint.cancelled.append(self.attempt)


class Notes:
    """Records the results of a lane."""

    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.phases: list[BreakerPhase] = []
        self.records: list[AttemptRecord] = []
        self.forgets = True
        self.refill_requests = 0

    @property
    def recorder(self) -> Notes:
        return self

    def settled(self, lane: Lane, item: QueuedDelivery, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        if self.forgets:
            lane.forget(settlement.seq)

    def attempted(self, lane: Lane, item: QueuedDelivery, record: AttemptRecord) -> None:
        self.records.append(record)

    def phase_changed(self, lane: Lane, before: BreakerPhase) -> None:
        self.phases.append(lane.breaker.phase)

    def request_refill(self, lane: Lane) -> None:
        self.refill_requests += 1

    def request_probe(self, lane: Lane) -> None:
        """Answers without a choice, so that a probe takes the next delivery of the lane."""
        asyncio.get_running_loop().call_soon(lane.offer_probe, None)


class Clock:
    """`now` is the wall clock; `step` sets it, and the relay's clock notices that."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._set_by = 0.0
        self._relay_clock = RelayClock(wall=lambda: self.now, even=lambda: self.now - self._set_by)

    def step(self, seconds: float) -> None:
        self.now += seconds
        self._set_by += seconds
        self._relay_clock.take_step()

    def relay_clock(self) -> RelayClock:
        return self._relay_clock


def webhook(*, concurrency: int = 4, rate: str | None = None, initial: str = "1s", enabled: bool = True) -> Webhook:
    policy = DeliveryPolicy(
        concurrency=concurrency,
        rate_limit=None if rate is None else parse_rate(rate),
        retry=RetryPolicy(initial_delay=parse_duration(initial), max_delay=parse_duration("60s")),
    )
    return builders.webhook(ADDRESS, enabled=enabled, delivery=policy)


def item(seq: int, *, tries: int = 0, **fields: Any) -> QueuedDelivery:
    return queued_delivery(seq, **{"attempts": tries, "tries": tries, "since": 1_000.0, **fields})


class Bench:
    """A lane with scripted surroundings."""

    def __init__(self, script: Script, config: Webhook | None = None, clock: RelayClock | None = None) -> None:
        self.endpoint = Scripted(script)
        self.notes = Notes()
        self.clock = Clock()
        self.counters = WebhookCounters()
        self.lane = Lane(
            config or webhook(),
            self.endpoint,
            self.notes,
            configuration_hash="sha256:1",
            counters=self.counters,
            clock=clock or self.clock.relay_clock(),
            random=Random(1),
        )

    async def run(self, *items: QueuedDelivery) -> list[Settlement]:
        """Offer the deliveries, run until nothing more happens, and return the new settlements."""
        before = len(self.notes.settlements)
        self.lane.queue.offer(items)
        self.lane.start_attempts()
        for _ in range(20 + 5 * len(items)):
            await asyncio.sleep(0)
        return self.notes.settlements[before:]


def always(status: int) -> Script:
    return lambda attempt: Response(status)


def states(settlements: list[Settlement]) -> list[State]:
    return [one.state for one in settlements]


async def test_accepted_deliveries_are_settled_once_each() -> None:
    """Every 2xx settles its delivery, with one attempt and the status."""
    bench = Bench(always(204))
    done = await bench.run(*(item(n) for n in range(1, 40)))
    assert [(n, State.DELIVERED, 1, 204) for n in range(1, 40)] == sorted(
        (one.seq, one.state, one.attempts, one.http) for one in done
    )


async def test_no_more_at_once_than_the_concurrency() -> None:
    """The number of attempts in flight never exceeds the webhook's concurrency."""
    bench = Bench(always(200), webhook(concurrency=3))
    await bench.run(*(item(n) for n in range(1, 40)))
    assert 3 == bench.endpoint.most_at_once


async def test_a_delivery_is_queued_once() -> None:
    """The lane ignores a delivery that it already holds."""
    bench = Bench(always(200))
    await bench.run(item(1), item(1), item(1))
    assert 1 == len(bench.endpoint.attempts)


async def test_a_failure_is_due_again_after_its_delay() -> None:
    """After a 503 the delivery remains pending with a due time in the future, and counts one try."""
    bench = Bench(always(503))
    (one,) = await bench.run(item(1, tries=2))
    assert (State.PENDING, 3, "http 503") == (one.state, one.tries, one.reason)
    assert one.due is not None
    assert bench.clock.now <= one.due <= bench.clock.now + 4.0


async def test_an_event_older_than_max_age_is_not_attempted() -> None:
    """A delivery that is older than maxAge becomes a dead letter without another request."""
    bench = Bench(always(200))
    (one,) = await bench.run(item(1, since=1_000.0 - 72 * 3600))
    assert (State.DEAD, "expired", 0, []) == (one.state, one.reason, one.posts, bench.endpoint.attempts)


async def test_expired_deliveries_take_no_turn_of_the_rate_limit() -> None:
    """A backlog of expired deliveries, more than fit unwritten, is dead at once. The event behind it goes out."""
    bench = Bench(always(200), webhook(rate="1/m"))
    old, new = [item(n, since=1_000.0 - 72 * 3600) for n in range(1, 200)], [item(n) for n in range(200, 203)]
    done = await bench.run(*old, *new)
    assert [State.DEAD] * 199 + [State.DELIVERED] == states(done)
    assert [new[0].id] == [attempt.id for attempt in bench.endpoint.attempts]
    bench.clock.now += 60.0
    assert [State.DELIVERED] == states(await bench.run())


async def test_events_are_accepted_at_the_limit_while_others_expire() -> None:
    """More events arrive than the limit admits before they are too old. The rest is accepted, at the whole limit."""
    policy = DeliveryPolicy(rate_limit=parse_rate("10/s"), retry=RetryPolicy(max_age=parse_duration("3s")))
    bench = Bench(always(200), builders.webhook(ADDRESS, delivery=policy))
    ends: Counter[State] = Counter()
    for tenth in range(300):
        arrived = [item(n, since=bench.clock.now) for n in range(1 + 5 * tenth, 6 + 5 * tenth)]
        ends.update(states(await bench.run(*arrived)))
        bench.clock.now += 0.1
    assert 298 <= ends[State.DELIVERED] == len(bench.endpoint.attempts) <= 302
    assert 1_500 - 302 - 160 <= ends[State.DEAD]


async def test_a_refused_token_is_renewed_and_tried_once_at_once() -> None:
    """401, then 200 with the fresh token: delivered, two requests, one renewal, and the breaker remains closed."""
    bench = Bench(lambda attempt: Response(401 if attempt.number == 1 else 200))
    (one,) = await bench.run(item(1))
    assert (State.DELIVERED, 2, 1, BreakerPhase.CLOSED) == (
        one.state, one.posts, bench.endpoint.renewals, bench.lane.breaker.phase,
    )  # fmt: skip


async def test_a_probe_with_a_fresh_token_closes_the_breaker() -> None:
    """The attempt that follows a 401 is part of the probe, so it goes out while the breaker is half open."""
    bench = Bench(always(404), webhook(concurrency=1))
    await bench.run(item(1))
    bench.clock.now = bench.lane.breaker.until
    bench.endpoint.script = lambda attempt: Response(401 if attempt.number == 1 else 200)
    (one,) = await bench.run(item(2))
    assert (State.DELIVERED, 2, BreakerPhase.CLOSED) == (one.state, one.posts, bench.lane.breaker.phase)


async def test_the_duration_of_an_attempt_does_not_depend_on_the_clock() -> None:
    """The clock is set during an attempt. The attempt takes the seconds that passed."""
    bench = Bench(always(200))

    def sets_the_clock(attempt: Attempt) -> ExchangeResult:
        bench.clock.now += 2.0
        bench.clock.step(-3_600.0)
        return Response(200)

    bench.endpoint.script = sets_the_clock
    await bench.run(item(1))
    assert [2.0] == [record.seconds for record in bench.notes.records]


BROKE = Failure(FailureKind.NETWORK, "the connection was closed before the response", may_resend=True)


@pytest.mark.parametrize(
    "first", [Response(422), Response(401), BROKE], ids=["confirmed", "token", "kept connection"]
)
def test_every_request_takes_a_turn_of_the_rate_limit(first: ExchangeResult) -> None:
    """The limit holds although each event takes two requests: a confirming one, one with a fresh token, or the same
    one after a kept connection broke."""
    sent: list[float] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()

        met = set[bytes]()

        def refuses(attempt: Attempt) -> ExchangeResult:
            sent.append(loop.time())
            is_first = attempt.id not in met
            met.add(attempt.id)
            return first if is_first else Response(200)

        bench = Bench(refuses, webhook(rate="10/s"), RelayClock(wall=lambda: 1_000.0 + loop.time(), even=loop.time))
        bench.lane.queue.offer(item(n) for n in range(1, 21))
        bench.lane.start_attempts()
        await asyncio.sleep(10.0)
        assert [State.DELIVERED] * 20 == states(bench.notes.settlements)

    run_in_virtual_time(run())
    assert 40 == len(sent)
    assert all(later - earlier > 0.08 for earlier, later in pairwise(sent))


async def test_a_broken_kept_connection_costs_no_attempt() -> None:
    """The request is sent once more as the same attempt. If that breaks too, the attempt has failed."""
    results: list[ExchangeResult] = [BROKE, Response(200), BROKE, BROKE]
    bench = Bench(lambda attempt: results.pop(0), webhook(concurrency=1))
    done = await bench.run(item(1), item(2))
    assert [State.DELIVERED, State.PENDING] == states(done)
    assert [1, 1, 1, 1] == [attempt.number for attempt in bench.endpoint.attempts]
    assert [1, 1] == [settlement.posts for settlement in done]


def test_a_confirming_attempt_comes_before_the_backlog() -> None:
    """Other deliveries always wait for a turn, too. The confirming attempt gets the next one, and they the others."""

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        refused = item(1)
        bench = Bench(
            lambda attempt: Response(422 if attempt.id == refused.id else 200),
            webhook(rate="10/s"),
            RelayClock(wall=lambda: 1_000.0 + loop.time(), even=loop.time),
        )
        bench.lane.queue.offer([refused, *(item(n) for n in range(2, 100))])
        bench.lane.start_attempts()
        await asyncio.sleep(5.05)
        return [attempt.id for attempt in bench.endpoint.attempts]

    sent = run_in_virtual_time(run())
    assert [item(n).id for n in (1, 1, 2, 3, 4)] == sent[:5]
    assert 49 <= len(sent) <= 56


def opens(lane: Lane) -> None:
    """Another request was answered with a Retry-After."""
    lane.breaker.failed(1_000.0, "http 503", network=False, wait=50.0)
    lane._report_phase(BreakerPhase.CLOSED)


def is_gone(lane: Lane) -> None:
    lane.breaker.gone("http 410")
    lane._report_phase(BreakerPhase.CLOSED)


def pauses(lane: Lane) -> None:
    lane.pause(True)


@pytest.mark.parametrize("status", [422, 401])
@pytest.mark.parametrize("change", [opens, is_gone, pauses], ids=["retry-after", "gone", "paused"])
@pytest.mark.parametrize("rate", [None, "1/m"], ids=["at-once", "while-it-waits-for-a-turn"])
async def test_no_second_request_after_a_change(
    status: int, change: Callable[[Lane], None], rate: str | None
) -> None:
    """An event needs another request, and the endpoint or an operator forbids requests: the event waits in the spool,
    with no try and no refusal used up."""
    bench = Bench(always(status), webhook(rate=rate))

    def changes(attempt: Attempt) -> ExchangeResult:
        if rate is None:
            change(bench.lane)
        return Response(status)

    bench.endpoint.script = changes
    done = await bench.run(item(1))
    if rate is not None:
        assert ([], 1) == (done, len(bench.lane.attempts_in_flight))
        change(bench.lane)
        done = await bench.run()
    assert [(State.PENDING, 1, 0, 0, bench.clock.now)] == [
        (one.state, one.posts, one.tries, one.refusals, one.due) for one in done
    ]
    assert (1, 0) == (len(bench.endpoint.attempts), len(bench.lane.attempts_in_flight))


async def test_a_stop_does_not_wait_for_a_turn() -> None:
    """A confirming attempt that waits for its turn does not go out when the lane stops."""
    bench = Bench(always(422), webhook(rate="1/m"))
    await bench.run(item(1))
    await bench.lane.stop(60.0)
    assert ([State.PENDING], 1) == (states(bench.notes.settlements), len(bench.endpoint.attempts))


async def test_a_late_retry_after_holds_although_the_breaker_has_closed_again() -> None:
    """The endpoint asks for no requests now, so it does not matter when the request began."""
    bench = Bench(always(200))
    began = bench.lane.breaker.times_opened
    bench.lane.breaker.pause(1_000.0, "http 404")
    bench.lane.breaker.tick(bench.lane.breaker.until)
    bench.lane.breaker.succeeded(1_010.0)
    late = began != bench.lane.breaker.times_opened
    bench.lane.breaker.record(Retry("http 503", 30.0), 1_020.0, late=late)
    assert (BreakerPhase.OPEN, 1_050.0) == (bench.lane.breaker.phase, bench.lane.breaker.until)


async def test_an_event_at_fault_is_confirmed_once() -> None:
    """After two 422 the event is dead, after exactly two requests. The breaker remains closed for other events."""
    bench = Bench(always(422))
    (one,) = await bench.run(item(1))
    assert (State.DEAD, 2, "http 422", BreakerPhase.CLOSED) == (
        one.state,
        one.posts,
        one.reason,
        bench.lane.breaker.phase,
    )


async def test_a_paused_endpoint_is_probed_with_another_event_each_time() -> None:
    """A 404 pauses the endpoint. Each probe takes a delivery that was not refused yet, and counts no try."""
    bench = Bench(always(404), webhook(concurrency=1))
    refused = await bench.run(item(1), item(2), item(3))
    assert [(1, State.PENDING, 0)] == [(one.seq, one.state, one.tries) for one in refused]
    probed = []
    for _ in range(2):
        bench.clock.now = bench.lane.breaker.until
        probed += await bench.run()
    assert [2, 3] == [one.seq for one in probed]


async def test_probes_take_turns() -> None:
    """A lane asks the spool for the oldest delivery, the newest, and another message. After a success it keeps the
    place, which was the right one."""
    bench = Bench(always(500), webhook(concurrency=1))
    asked: list[ProbeRequest | None] = []

    def request_probe(lane: Lane) -> None:
        asked.append(lane.probe_request())
        asyncio.get_running_loop().call_soon(lane.offer_probe, None)

    bench.notes.request_probe = request_probe  # type: ignore[method-assign]
    bench.lane.breaker.pause(bench.clock.now, "http 404")
    await bench.run(*(item(n, order_key=n) for n in range(1, 30)))
    for status in (500, 500, 500, 200):
        bench.endpoint.script = always(status)
        bench.clock.now = bench.lane.breaker.until
        await bench.run()
    bench.lane.breaker.pause(bench.clock.now, "http 404")
    bench.clock.now = bench.lane.breaker.until
    await bench.run()
    places = [(one.place, one.other_than) for one in asked if one is not None]
    assert [(0.0, None), (1.0, None)] == places[:2]
    assert 2 == places[2][1]
    assert 0.0 < places[2][0] < 1.0
    assert [(0.0, None), (0.0, None)] == places[3:]


async def test_a_chosen_probe_is_sent_and_not_sent_twice() -> None:
    """The lane sends the delivery that the spool has chosen, also one that it holds already, and only once."""
    bench = Bench(always(200), webhook(concurrency=1))

    def request_probe(lane: Lane) -> None:
        asyncio.get_running_loop().call_soon(lane.offer_probe, item(3))

    bench.notes.request_probe = request_probe  # type: ignore[method-assign]
    bench.lane.breaker.pause(bench.clock.now, "http 404")
    await bench.run(*(item(n) for n in range(1, 5)))
    bench.clock.now = bench.lane.breaker.until
    await bench.run()
    assert [3, 1, 2, 4] == [int.from_bytes(attempt.id, "big") for attempt in bench.endpoint.attempts]


async def test_a_queue_that_probes_empty_is_filled_again() -> None:
    """The probe was the last retry that the lane held, and the spool holds more that are due."""
    bench = Bench(always(200), webhook(concurrency=1))

    def request_probe(lane: Lane) -> None:
        asyncio.get_running_loop().call_soon(lane.offer_probe, item(1, due=1.0))

    bench.notes.request_probe = request_probe  # type: ignore[method-assign]
    bench.lane.queue.unread = False
    bench.lane.queue.next_due = 1.0
    bench.lane.breaker.pause(bench.clock.now, "http 404")
    await bench.run(item(1, due=1.0))
    requested = bench.notes.refill_requests
    bench.clock.now = bench.lane.breaker.until
    await bench.run()
    assert 1 == len(bench.endpoint.attempts)
    assert requested < bench.notes.refill_requests


async def test_an_event_that_fails_while_others_pass_does_not_open_the_breaker() -> None:
    """Its second failure comes after a success of another event, so the endpoint is not the cause."""
    bench = Bench(lambda attempt: Response(500 if attempt.id[-1] < 100 else 200), webhook(concurrency=1))
    failed = await bench.run(*(item(n) for n in range(1, 10)))
    await bench.run(item(100))
    for n in range(101, 120):
        bench.clock.now += 0.5
        pending = [one for one in failed if one.state is State.PENDING]
        again = [item(one.seq, due=1.0, tries=one.tries, history=one.history) for one in pending]
        failed = await bench.run(*again, item(n))
    assert BreakerPhase.CLOSED is bench.lane.breaker.phase


async def test_the_twentieth_refusal_in_a_row_pauses_the_endpoint() -> None:
    """19 events are dead letters. The others are pending, whichever of them was in flight, until one is accepted."""
    bench = Bench(always(400), webhook(concurrency=4))
    done = await bench.run(*(item(n) for n in range(1, 60)))
    assert [State.DEAD] * 19 == [one.state for one in done if one.state is State.DEAD]
    assert {State.DEAD, State.PENDING} == set(states(done))
    assert (BreakerPhase.OPEN, "http 400") == (bench.lane.breaker.phase, bench.lane.breaker.reason)
    bench.clock.now = bench.lane.breaker.until
    assert [State.PENDING] == states(await bench.run())
    bench.endpoint.script = always(200)
    bench.clock.now = bench.lane.breaker.until
    assert {State.DELIVERED} == set(states(await bench.run()))


async def test_the_one_event_that_is_always_refused_is_dead_at_the_third_time() -> None:
    """An event that is refused as a probe three times, while others are accepted, becomes a dead letter."""
    bench = Bench(lambda attempt: Response(404 if attempt.id == item(1).id else 200), webhook(concurrency=1))
    bad, ends = item(1), []
    for n in range(3):
        (refused,) = [one for one in await bench.run(bad) if one.seq == 1]
        ends.append((refused.state, refused.refusals))
        bench.clock.now = max(bench.clock.now, bench.lane.breaker.until) + 1.0
        await bench.run(item(10 + n))
        bench.clock.now = max(bench.clock.now, refused.due or 0.0) + 1.0
        bad = item(1, due=refused.due, refusals=refused.refusals, history=refused.history)
    assert [(State.PENDING, 1), (State.PENDING, 2), (State.DEAD, 2)] == ends


async def test_refusals_do_not_count_while_no_event_is_accepted() -> None:
    """An endpoint that refuses every event causes no dead letters, because the endpoint is at fault."""
    bench = Bench(always(403), webhook(concurrency=1))
    bad = item(1)
    for _ in range(6):
        (refused,) = await bench.run(bad)
        assert (State.PENDING, 1) == (refused.state, refused.refusals)
        bench.clock.now = bench.lane.breaker.until
        bad = item(1, due=refused.due, refusals=refused.refusals)


async def test_refusals_do_not_count_because_the_clock_was_set_back() -> None:
    """A success before a step back of the clock does not count as later than every refusal."""
    bench = Bench(lambda attempt: Response(403 if attempt.id == item(1).id else 200), webhook(concurrency=1))
    await bench.run(item(9))
    bench.clock.step(-3_600)
    bench.lane.clock_set_back(3_600)
    bad = item(1, since=bench.clock.now)
    for _ in range(6):
        (refused,) = await bench.run(bad)
        assert (State.PENDING, 1) == (refused.state, refused.refusals)
        bench.clock.now = bench.lane.breaker.until
        bad = item(1, due=refused.due, refusals=refused.refusals, since=bench.clock.now)


async def test_a_clock_that_was_set_forward_expires_nothing() -> None:
    """A step of a month makes no delivery too old. It expires once its `maxAge` has really passed."""
    bench = Bench(always(503))
    bench.clock.step(30 * 86_400)
    (first,) = await bench.run(item(1))
    assert State.PENDING is first.state
    bench.clock.now += bench.lane.max_age_seconds
    (second,) = await bench.run(item(1, due=first.due, tries=first.tries))
    assert (State.DEAD, "expired") == (second.state, second.reason)


@pytest.mark.parametrize("steps", [(3_600,), (-3_600, 3_600)], ids=["forward", "back-and-corrected"])
async def test_the_time_to_a_result_is_exact_after_the_clock_was_set(steps: tuple[float, ...]) -> None:
    """Deliveries that are read after a step of the clock count with the time that they really took."""
    bench = Bench(always(200))
    for seconds in steps:
        bench.clock.step(seconds)
        await bench.run(item(1, since=bench.clock.now))
    bench.counters.latency.seconds = 0.0
    read = bench.clock.now
    bench.clock.now += 7.0
    assert [State.DELIVERED] == states(await bench.run(item(2, since=read)))
    assert 7.0 == bench.counters.latency.seconds


async def test_a_clock_that_was_set_back_makes_no_wait_longer() -> None:
    """A step back of the clock lengthens neither the wait for a Retry-After nor the spacing of a rate limit."""
    bench = Bench(lambda attempt: Response(503, 30.0), webhook(rate="1/m"))
    await bench.run(item(1))
    assert bench.clock.now + 30.0 == bench.lane.breaker.until
    bench.clock.step(-500)
    bench.lane.clock_set_back(500)
    assert bench.clock.now + 30.0 == bench.lane.breaker.until
    bench.endpoint.script = always(200)
    bench.clock.now += 60.0
    assert [State.DELIVERED] == [one.state for one in await bench.run(item(2))]


async def test_a_bug_in_an_endpoint_loses_no_event() -> None:
    """An exception of an endpoint is a local fault: the event remains pending and the endpoint is paused."""

    def bug(attempt: Attempt) -> ExchangeResult:
        raise RuntimeError("boom")

    bench = Bench(bug)
    bench.endpoint.begins = False
    (one,) = await bench.run(item(1))
    assert (State.PENDING, "fault: internal error: RuntimeError: boom") == (one.state, one.reason)
    assert BreakerPhase.OPEN is bench.lane.breaker.phase


async def test_a_bug_before_a_quick_post_loses_no_event() -> None:
    """An exception of an endpoint that should begin an attempt leaves the attempt to a worker."""

    def bug(attempt: Attempt, on_result: OnResult) -> BegunPost | None:
        raise RuntimeError("boom")

    bench = Bench(always(200))
    bench.endpoint.begin = bug  # type: ignore[method-assign]
    assert [State.DELIVERED] == [one.state for one in await bench.run(item(1))]


RESULTS = st.sampled_from(
    [
        *(Response(status) for status in (200, 204, 302, 400, 401, 404, 410, 422, 500, 503)),
        Response(503, 5.0),
        Response(429, 0.0),
        Failure(FailureKind.NETWORK, "connection reset"),
        Failure(FailureKind.NETWORK, "closed", may_resend=True),
        Failure(FailureKind.TIMEOUT, "late"),
    ]
)


@given(st.lists(RESULTS, min_size=1, max_size=30))
@settings(max_examples=100)
def test_quick_posts_and_workers_decide_the_same(results: list[ExchangeResult]) -> None:
    """For the same results of an endpoint, both ways make the same requests, and settle and report them equally."""

    async def run(begins: bool) -> list[object]:
        following = iter(results)
        bench = Bench(lambda attempt: next(following, Response(200)), webhook(concurrency=1))
        bench.endpoint.begins = begins
        settlements = await bench.run(*(item(n) for n in range(1, 12)))
        bench.clock.now += 3600.0
        settlements += await bench.run(*(item(n) for n in range(12, 24)))
        assert begins is (bench.endpoint.begun > 0)
        counts, latency = bench.counters.attempts, bench.counters.latency.buckets
        return [settlements, bench.endpoint.attempts, bench.notes.records, bench.notes.phases, counts, latency]

    assert asyncio.run(run(False)) == asyncio.run(run(True))


@given(
    st.integers(0, 5), st.integers(0, 5), st.integers(0, 3), st.none() | st.just('[{"at":1}]'), st.integers(200, 299)
)
def test_the_short_settlement_of_a_delivery(
    attempts: int, tries: int, refusals: int, history: str | None, http: int
) -> None:
    """`delivered` is `settle` for one accepted attempt."""
    one = item(1, tries=tries, attempts=attempts, refusals=refusals, history=history, due=None)
    series = AttemptSeries(1, Delivered(), http, history, 1.0)
    assert settle(one, series, RetryPolicy(), last_success=0.0, jitter=lambda: 0.5) == delivered(one, http)


async def test_a_rate_limit_delays_early_deliveries() -> None:
    """With one request a minute, the second delivery waits although there is room for it."""
    bench = Bench(always(200), webhook(rate="1/m"))
    await bench.run(item(1), item(2))
    assert 1 == len(bench.endpoint.attempts)
    bench.clock.now += 60.0
    await bench.run()
    assert 2 == len(bench.endpoint.attempts)


async def test_five_broken_connections_open_the_breaker() -> None:
    """Five consecutive network failures open the breaker. The queued deliveries get no attempt."""
    bench = Bench(lambda attempt: Failure(FailureKind.NETWORK, "connection refused"), webhook(concurrency=1))
    done = await bench.run(*(item(n) for n in range(1, 20)))
    assert (5, BreakerPhase.OPEN) == (len(done), bench.lane.breaker.phase)


async def test_a_disabled_lane_loads_and_sends_nothing() -> None:
    """A lane with `enabled: false` has no room and starts no attempt."""
    bench = Bench(always(200), webhook(enabled=False))
    assert (0, 0, True) == (bench.lane.queue.room_for_new, bench.lane.queue.room_for_retries, bench.lane.suspended)
    await bench.run(item(1))
    assert [] == bench.endpoint.attempts


async def test_retries_and_new_deliveries_alternate() -> None:
    """A backlog of retries does not delay new events, and new events do not delay retries."""
    bench = Bench(always(200), webhook(concurrency=1))
    await bench.run(*(item(n, due=1.0) for n in range(1, 4)), *(item(n) for n in range(11, 14)))
    assert [11, 1, 12, 2, 13, 3] == [int.from_bytes(attempt.id, "big") for attempt in bench.endpoint.attempts]


@pytest.mark.parametrize("begins", [True, False], ids=["quick", "worker"])
async def test_stopping_cancels_attempts_after_the_grace_period(begins: bool) -> None:
    """After the grace period an attempt in flight is cancelled. Its delivery is not settled and remains pending."""
    bench = Bench(always(200))
    bench.endpoint.begins = begins
    bench.endpoint.hangs = True
    await bench.run(item(1))
    assert [item(1).id] == list(bench.lane.attempts_in_flight.ids())
    await bench.lane.stop(0.01)
    assert ([], {1}, 0) == (
        bench.notes.settlements,
        bench.lane.queue.in_flight(),
        len(bench.lane.attempts_in_flight),
    )
    assert [bench.endpoint.attempts[0]] == bench.endpoint.cancelled


async def test_stopping_waits_for_quick_posts_and_for_workers_that_take_over() -> None:
    """Results that arrive within the grace period are settled: a delivery, and the retry of another one."""
    bench = Bench(lambda attempt: Response(200 if attempt.id == item(1).id else 500))
    bench.lane.queue.offer([item(1), item(2)])
    bench.lane.start_attempts()
    assert 2 == bench.endpoint.begun
    await bench.lane.stop(10.0)
    assert [(1, State.DELIVERED), (2, State.PENDING)] == [(one.seq, one.state) for one in bench.notes.settlements]


async def test_every_phase_change_is_reported_once() -> None:
    """The listener receives a change of the phase once."""
    bench = Bench(always(404), webhook(concurrency=4))
    await bench.run(*(item(n) for n in range(1, 9)))
    assert [BreakerPhase.OPEN] == bench.notes.phases


async def test_unwritten_settlements_are_bounded() -> None:
    """The lane stops at a limit of unwritten settlements, and continues once they are written."""
    bench = Bench(always(200), webhook(concurrency=4))
    bench.notes.forgets = False
    limit = max_unwritten(4)
    done = await bench.run(*(item(n) for n in range(1, 3 * limit)))
    assert limit <= len(done) < limit + 4
    for settlement in done:
        bench.lane.forget(settlement.seq)
    assert limit <= len(await bench.run()) < limit + 4


async def test_no_attempt_begins_after_a_response_that_forbids_it() -> None:
    """A 410 that arrives between the choice of a delivery and the first step of its worker keeps the delivery."""
    bench = Bench(always(200))
    bench.endpoint.begins = False
    bench.lane.queue.offer([item(1)])
    bench.lane.start_attempts()
    bench.lane.breaker.gone("http 410")
    await asyncio.sleep(0.01)
    assert ([], [1], 0) == (bench.endpoint.attempts, list(bench.lane.queue.known), len(bench.lane.attempts_in_flight))
