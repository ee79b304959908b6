"""The dispatcher: no delivery is lost, dead-lettered or repeated when something changes during its work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders import delivery, ingest_batch, queued_delivery, settlement, webhook
from hookline.errors import SpoolStalled
from hookline.model import Address, DeliveryPolicy, RetryPolicy
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery import dispatcher
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane
from hookline.relay.delivery.response_policy import Retry
from hookline.relay.delivery.rounds import dead_lettering, prefetch, settlement_recorder
from hookline.relay.delivery.rounds.dead_lettering import DeadLettering
from hookline.relay.delivery.rounds.endpoint_state import EndpointStateWriter
from hookline.relay.delivery.rounds.round_timer import GATHER_SECONDS
from hookline.relay.delivery.rounds.settlement_recorder import GATHER_OUTCOMES_SECONDS
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import DequeueRequest, EndpointState, Retention, State
from hookline.relay.spool.sqlite.erasure.sqlite_removal import SqliteRemoval
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.webhook_status import SqliteWebhookControl
from hookline.units import parse_duration
from waiting import eventually

pytestmark = pytest.mark.anyio

ADDRESS = Address("acme", "prod")
DAY = 86_400.0


class Scripted(Endpoint):
    """An endpoint that answers by a function, which may wait, and records the accepted deliveries."""

    def __init__(self, script: Callable[[Attempt], Awaitable[int]]) -> None:
        self.script = script
        self.accepted: list[bytes] = []

    async def post(self, attempt: Attempt) -> ExchangeResult:
        status = await self.script(attempt)
        if status < 300:
            self.accepted.append(attempt.id)
        return Response(status)

    def renew(self) -> None: ...

    async def aclose(self) -> None: ...


async def accepts(attempt: Attempt) -> int:
    await asyncio.sleep(0)
    return 200


async def is_gone(attempt: Attempt) -> int:
    await asyncio.sleep(0)
    return 410


class Desk:
    """A dispatcher on a real spool."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.monkeypatch = monkeypatch
        self.spool = SqliteSpool(directory / "spool", since="now")
        self.log: list[str] = []
        log = Log(self.log.append, level="info", format="text", clock=lambda: 0.0)
        self.thread = SpoolThread(self.spool, log)
        self.set_by = 0.0
        self.clock = RelayClock(wall=lambda: time.time() + self.set_by)
        self.dispatcher = Dispatcher(
            self.thread, clock=self.clock, log=log, counters=Counters(), keep=Retention(DAY, 1_000_000)
        )

    def lane(self, endpoint: Scripted, configuration: str = "first") -> Lane:
        policy = DeliveryPolicy(
            concurrency=16,
            retry=RetryPolicy(initial_delay=parse_duration("1h"), max_delay=parse_duration("1h")),
        )
        return Lane(
            webhook(ADDRESS, delivery=policy),
            endpoint,
            self.dispatcher,
            configuration_hash=configuration,
            counters=Counters().of(ADDRESS),
            clock=self.clock,
            random=Random(1),
        )

    def add_lane(self, endpoint: Scripted, configuration: str = "first") -> Lane:
        lane = self.lane(endpoint, configuration)
        self.dispatcher.add_lane(lane, self.spool.endpoint_states().get(ADDRESS, EndpointState()), None)
        return lane

    async def put(self, number: int) -> None:
        intake = ingest_batch(*(delivery(str(n)) for n in range(number)))
        await self.thread.run(self.spool.enqueue, intake, now=time.time(), dedupe_window=DAY)
        self.dispatcher.on_enqueued({ADDRESS})

    def set_clock(self, seconds: float) -> None:
        self.set_by += seconds
        self.dispatcher.clock_stepped(self.clock.take_step())

    async def until(self, condition: Callable[[dict[str, int]], object]) -> dict[str, int]:
        async def found() -> dict[str, int] | None:
            tally = await self.thread.run(self.spool.tally)
            return tally if condition(tally) else None

        tally = await eventually(found)
        assert tally is not None
        return tally


@asynccontextmanager
async def working(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    async with run(Desk(directory, monkeypatch)) as desk:
        yield desk


@asynccontextmanager
async def run(desk: Desk) -> AsyncIterator[Desk]:
    running = asyncio.create_task(desk.dispatcher.run())
    try:
        yield desk
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await desk.dispatcher.stop(1.0)
        desk.thread.close()
        desk.spool.close()


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr(
        dead_lettering, "DEAD_LETTER_CHUNK", 50
    )  # as with a backlog of many chunks, which takes more than a second
    monkeypatch.setattr(dispatcher, "HOUSEKEEPING_SECONDS", 0.02)
    async with working(tmp_path, monkeypatch) as one:
        yield one


async def test_a_corrected_configuration_ends_the_dead_lettering(desk: Desk) -> None:
    """A 410 dead-letters the backlog. A new configuration that is applied during this saves the rest."""
    desk.add_lane(Scripted(is_gone))
    await desk.put(2_000)
    await desk.until(lambda tally: tally.get("dead", 0) > 200)
    await desk.dispatcher.remove_lane(ADDRESS)
    successor = Scripted(accepts)
    desk.add_lane(successor, "second")
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert tally["delivered"] == len(successor.accepted) > 0
    assert 2_000 == tally["delivered"] + tally["dead"]
    assert desk.spool.endpoint_states()[ADDRESS].gone_reason is None


async def test_retry_now_ends_the_dead_lettering(desk: Desk) -> None:
    """After `retry-now` the relay sends the rest of the backlog. No accepted delivery counts as dead."""
    endpoint = Scripted(is_gone)
    desk.add_lane(endpoint)
    await desk.put(2_000)
    await desk.until(lambda tally: tally.get("dead", 0) > 200)
    endpoint.script = accepts
    with SqliteWebhookControl(desk.directory / "spool") as elsewhere:
        elsewhere.retry_now(ADDRESS, now=time.time())
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert tally["delivered"] == len(endpoint.accepted) > 0
    assert 2_000 == tally["delivered"] + tally["dead"]


async def test_a_lane_drops_forgotten_deliveries(desk: Desk) -> None:
    """A lane has loaded deliveries of a recipient. After `forget` it sends none, except for those in flight."""
    release = asyncio.Event()

    async def waits(_: Attempt) -> int:
        await release.wait()
        return 200

    endpoint = Scripted(waits)
    lane = desk.add_lane(endpoint)
    named = {3: b"ann@acme.example", 20: b"Ann@acme.example", 29: b"ann%40acme.example"}
    events = [delivery(str(n), body=named.get(n, b"other")) for n in range(30)]
    await desk.thread.run(desk.spool.enqueue, ingest_batch(*events), now=time.time(), dedupe_window=DAY)
    desk.dispatcher.on_enqueued({ADDRESS})
    await eventually(lambda: asyncio.sleep(0, len(lane.attempts_in_flight) == 16 and len(lane.queue.known) == 30))
    with SqliteRemoval(desk.directory / "spool") as elsewhere:
        assert 3 == elsewhere.forget(Recipient("ann@acme.example"), now=time.time()).count.pending
        elsewhere.overwrite()
    await eventually(lambda: asyncio.sleep(0, any("forgotten" in one and "in_flight=16" in one for one in desk.log)))
    release.set()
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    sent = set(endpoint.accepted)
    assert {events[3].id} == sent & {events[n].id for n in named}
    assert (27, 3) == (tally["delivered"], tally["dead"])
    assert 28 == len(sent)


async def test_clean_up_continues_between_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks of a long removal follow in the next rounds, and do not wait for the next housekeeping."""
    monkeypatch.setattr(dispatcher, "CLEANUP_ROWS", 10)
    monkeypatch.setattr(dispatcher, "HOUSEKEEPING_SECONDS", 3600.0)
    with closing(SqliteSpool(tmp_path / "spool", since="now")) as spool:
        spool.enqueue(ingest_batch(*(delivery(str(n)) for n in range(95))), now=1.0, dedupe_window=DAY)
        ((items, _),) = spool.dequeue_new([DequeueRequest(ADDRESS, 0, 95, True)])
        spool.settle([settlement(item) for item in items], now=1.0)
    async with working(tmp_path, monkeypatch) as desk:
        await desk.until(lambda tally: tally["records"] == 0)


async def test_expiry_continues_between_other_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the chunks of a backlog that is too old."""
    monkeypatch.setattr(dead_lettering, "DEAD_LETTER_CHUNK", 10)
    monkeypatch.setattr(dispatcher, "HOUSEKEEPING_SECONDS", 3600.0)
    with closing(SqliteSpool(tmp_path / "spool", since="now")) as spool:
        spool.enqueue(ingest_batch(*(delivery(str(n)) for n in range(95))), now=1.0, dedupe_window=DAY)
        spool.save_endpoint_state(ADDRESS, gone_reason=None, gone_configuration=None, not_before=time.time() + DAY)
    desk = Desk(tmp_path, monkeypatch)
    desk.add_lane(Scripted(accepts))
    async with run(desk):
        tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert 95 == tally["dead"]


async def test_dead_letters_of_many_webhooks_are_one_chunk(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many webhooks are gone, other work runs after one chunk, and all of them have their turn."""
    monkeypatch.setattr(dead_lettering, "ROWS_PER_TRANSACTION", 5)
    addresses = [Address("acme", f"s{n}") for n in range(30)]
    intake = ingest_batch(*(delivery(f"{one}-{n}", address=one) for one in addresses for n in range(7)))
    await desk.thread.run(desk.spool.enqueue, intake, now=time.time(), dedupe_window=DAY)
    log = Log(desk.log.append, level="info", format="text", clock=lambda: 0.0)
    lettering = DeadLettering({}, desk.thread, clock=desk.clock, log=log, counters=Counters())
    for address in addresses:
        lettering.dead_letter_pending(address, "deleted")
    chunks = []
    while lettering.pending:
        before = desk.spool.tally().get("dead", 0)
        await lettering.write_dead_letters()
        chunks.append(desk.spool.tally()["dead"] - before)
    assert 210 == sum(chunks)
    assert dead_lettering.DEAD_LETTER_CHUNK == max(chunks)


async def test_a_lane_without_retries_costs_no_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that starts searches only the webhooks that have retries for those that would wait too long."""
    asked: list[Address] = []

    def make_due(_spool: SqliteSpool, address: Address, **_options: Any) -> int:
        asked.append(address)
        return 0

    monkeypatch.setattr(SqliteSpool, "make_due", make_due)
    async with working(tmp_path, monkeypatch) as desk:
        for next_due in (None, time.time() + DAY):
            desk.dispatcher.add_lane(desk.lane(Scripted(accepts)), EndpointState(), next_due)
            desk.dispatcher.round_ended.clear()
            await desk.dispatcher.round_ended.wait()
            assert ([] if next_due is None else [ADDRESS]) == asked
            await desk.dispatcher.remove_lane(ADDRESS)


async def test_a_webhook_that_is_resumed_during_a_reconfiguration_keeps_its_retries(desk: Desk) -> None:
    """The new lane begins paused, by a state that was read before the operator resumed it. Its retry is sent."""
    await desk.put(1)
    ((items, _),) = await desk.thread.run(desk.spool.dequeue_new, [DequeueRequest(ADDRESS, 0, 10, False)])
    due = time.time()
    retry = settlement(items[0], State.PENDING, due=due)
    await desk.thread.run(desk.spool.settle, [retry], now=due)
    lane = desk.lane(Scripted(accepts))
    lane.paused = True
    desk.dispatcher.add_lane(lane, EndpointState(paused=due), due)
    await desk.until(lambda tally: tally.get("delivered") == 1)


async def test_a_longer_retry_after_is_remembered(desk: Desk) -> None:
    """The spool has the Retry-After, also if the circuit breaker waits longer by itself, and a longer one that comes
    while the breaker is already open."""

    def saved() -> float | None:
        return desk.spool.endpoint_states().get(ADDRESS, EndpointState()).not_before

    lane = desk.add_lane(Scripted(accepts))
    lane.breaker.failed(time.time(), "http 503", network=False, wait=100.0)
    desk.dispatcher.phase_changed(lane, BreakerPhase.CLOSED)
    await desk.until(lambda tally: saved() == lane.breaker.asked_until)
    first = lane.breaker.asked_until or 0.0
    item = queued_delivery(1, address=ADDRESS)
    lane.breaker.record(Retry("http 503", 5_000.0), time.time(), late=True)
    desk.dispatcher.recorder.settled(lane, item, settlement(item, State.PENDING, due=time.time()))
    await desk.until(lambda tally: saved() == lane.breaker.asked_until)
    assert (lane.breaker.asked_until or 0.0) > first + 4_000.0


async def test_the_state_of_an_endpoint_survives_a_stop_while_the_disk_is_full(desk: Desk) -> None:
    """A stop interrupts the write of a 410, which waits for the disk. The last write of the run repeats it."""
    save, calls = desk.spool.save_endpoint_state, 0

    def fails_once(*arguments: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise SpoolStalled("the disk is full")
        save(*arguments, **more)

    desk.monkeypatch.setattr(desk.spool, "save_endpoint_state", fails_once)
    lane = desk.lane(Scripted(accepts))
    states = EndpointStateWriter(
        {ADDRESS: lane}, desk.thread, Log(desk.log.append, level="info", format="text", clock=lambda: 0.0)
    )
    lane.breaker.gone("http 410")
    states.changed(lane)
    writing = asyncio.create_task(states.write())
    while desk.thread.stalled is None:
        await asyncio.sleep(0)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    await states.write()
    assert "http 410" == desk.spool.endpoint_states()[ADDRESS].gone_reason


async def test_a_410_for_the_old_configuration_does_not_stop_the_new_lane(desk: Desk) -> None:
    """A 410 for a request that was in flight when the configuration changed does not dead-letter the backlog by
    itself. The state watcher decides whether it holds for the new configuration."""
    answers = asyncio.Event()

    async def gone_later(attempt: Attempt) -> int:
        await answers.wait()
        return 410

    lane = desk.add_lane(Scripted(gone_later))
    await desk.put(500)
    await desk.until(lambda tally: len(lane.attempts_in_flight) == 16)
    leaving = asyncio.create_task(desk.dispatcher.remove_lane(ADDRESS))
    await asyncio.sleep(0.02)
    answers.set()
    await asyncio.sleep(0.05)
    assert await leaving
    desk.add_lane(Scripted(accepts), "second")
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert (484, 16) == (tally["delivered"], tally["dead"])


async def test_a_webhook_that_is_applied_again_keeps_its_remaining_deliveries(desk: Desk) -> None:
    """A webhook is deleted, and applied again while its backlog becomes dead letters. The relay sends the rest."""
    await desk.put(2_000)
    desk.dispatcher.dead_letter_pending(ADDRESS, "webhook deleted")
    await desk.until(lambda tally: tally.get("dead", 0) > 200)
    desk.add_lane(Scripted(accepts))
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert tally["delivered"] > 0
    assert 2_000 == tally["delivered"] + tally["dead"]


async def test_a_new_configuration_ends_the_phase_gone(desk: Desk) -> None:
    """The spool drops the state of an earlier configuration when a new one begins."""
    lane = desk.add_lane(Scripted(is_gone))
    await desk.put(1)
    await desk.until(
        lambda tally: lane.breaker.phase is BreakerPhase.GONE and desk.spool.endpoint_states()[ADDRESS].gone_reason
    )
    await desk.dispatcher.remove_lane(ADDRESS)
    desk.add_lane(Scripted(accepts), "second")
    await desk.until(lambda tally: desk.spool.endpoint_states()[ADDRESS].gone_reason is None)


@pytest.mark.parametrize("by", [-DAY, 30 * DAY], ids=["back", "forward"])
async def test_retries_are_early_rather_than_late_when_the_clock_is_set(desk: Desk, by: float) -> None:
    """A retry is due in an hour. A step back of a day would delay it by a day, so it becomes due at once, also if
    there are more retries than one chunk. After a step forward of a month it is due, and not too old."""
    desk.monkeypatch.setattr(prefetch, "MAX_MADE_DUE_PER_ROUND", 5)
    refusing = True

    async def refuses_at_first(attempt: Attempt) -> int:
        await asyncio.sleep(0)
        return 503 if refusing else 200

    endpoint = Scripted(refuses_at_first)
    desk.add_lane(endpoint)
    await desk.put(12)  # fewer than it takes to open the circuit breaker
    await desk.until(lambda tally: tally.get("attempts") == 12)
    refusing = False
    desk.set_clock(by)
    tally = await desk.until(lambda tally: tally["pending"] == 0)
    assert (12, 24, 0) == (tally["delivered"], tally["attempts"], tally.get("dead", 0))
    assert 1 == "".join(desk.log).count("the clock was set")


async def test_a_clock_that_is_set_forward_deletes_nothing(desk: Desk) -> None:
    """The record of a delivery remains although the clock is far beyond the retention."""
    desk.monkeypatch.setattr(dispatcher, "CLEANUP_SECONDS", 0.02)
    cleaned: list[float] = []
    clean_up = desk.spool.clean_up

    def cleans(*, now: float, keep: Retention, limit: int) -> bool:
        cleaned.append(now)
        return clean_up(now=now, keep=keep, limit=limit)

    desk.monkeypatch.setattr(desk.spool, "clean_up", cleans)
    desk.add_lane(Scripted(accepts))
    await desk.put(3)
    await desk.until(lambda tally: tally.get("records") == 3)
    desk.set_clock(30 * DAY)
    cleaned.clear()
    tally = await desk.until(lambda tally: len(cleaned) > 2)
    assert 3 == tally["records"]


async def test_settlements_are_written_when_the_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop while the disk is full writes the settlements once the disk has room."""
    full = True
    async with working(tmp_path, monkeypatch) as desk:
        settle = desk.spool.settle

        def settle_if_there_is_room(*arguments: Any, **more: Any) -> Any:
            if full:
                raise SpoolStalled("the disk is full")
            return settle(*arguments, **more)

        monkeypatch.setattr(desk.spool, "settle", settle_if_there_is_room)
        endpoint = Scripted(accepts)
        desk.add_lane(endpoint)
        await desk.put(5)
        await desk.until(lambda tally: len(endpoint.accepted) == 5 and desk.thread.stalled)

        def make_room() -> None:
            nonlocal full
            full = False

        asyncio.get_running_loop().call_later(0.3, make_room)

    again = SqliteSpool(tmp_path / "spool", since="now")
    try:
        tally = again.tally()
        assert (5, 0, 5) == (tally["delivered"], tally["pending"], tally["attempts"])
    finally:
        again.close()


async def test_the_spool_is_not_stalled_when_no_caller_waits_for_it(desk: Desk) -> None:
    """A cancelled caller clears the reason for which it waited. Otherwise /readyz would remain at 503."""

    def fails() -> None:
        raise SpoolStalled("the disk is full")

    waiting = asyncio.create_task(desk.thread.retry_while_stalled("reading", fails))
    await desk.until(lambda tally: desk.thread.stalled)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert desk.thread.stalled is None


class Requests:
    """Records in how many seconds the next round is requested."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def request(self, within_seconds: float) -> None:
        self.seconds.append(within_seconds)


@pytest.fixture
def idle_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Desk, list[float]]]:
    """A dispatcher whose rounds do not run, and the requests for them."""
    requests = Requests()
    monkeypatch.setattr(dispatcher, "RoundTimer", lambda: requests)
    desk = Desk(tmp_path, monkeypatch)
    yield desk, requests.seconds
    desk.spool.close()


def settle(desk: Desk, lane: Lane, *seqs: int) -> None:
    for seq in seqs:
        item = queued_delivery(seq, address=ADDRESS)
        desk.dispatcher.recorder.settled(lane, item, settlement(item))


async def test_outcomes_are_gathered_from_the_first_on(idle_desk: tuple[Desk, list[float]]) -> None:
    """The first outcome of a group requests its round. Each outcome of a full lane requests it at once."""
    desk, requests = idle_desk
    lane = desk.lane(Scripted(accepts))
    settle(desk, lane, 1, 2, 3)
    assert [GATHER_OUTCOMES_SECONDS] == requests
    lane._unwritten = 64
    settle(desk, lane, 4)
    assert [GATHER_OUTCOMES_SECONDS, 0.0] == requests


async def test_outcomes_are_written_sooner_while_events_wait_for_them(
    idle_desk: tuple[Desk, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is stored whose message has one in flight, or with an outcome that is not written."""
    desk, requests = idle_desk
    lane = desk.lane(Scripted(accepts))
    desk.dispatcher.recorder.note_waiting_events()
    assert [] == requests
    settle(desk, lane, 1)
    assert [GATHER_SECONDS] == requests
    desk.dispatcher.recorder.note_waiting_events()
    assert [GATHER_SECONDS] * 2 == requests
    desk.dispatcher.recorder._settlements.clear()
    monkeypatch.setattr(settlement_recorder, "ORDER_SECONDS", 0.0)
    desk.dispatcher.recorder._urgent_until = 0.0
    desk.dispatcher.recorder.note_waiting_events()
    settle(desk, lane, 2)
    assert GATHER_OUTCOMES_SECONDS == requests[-1]


async def test_outcomes_are_written_sooner_at_the_end_of_a_run(idle_desk: tuple[Desk, list[float]]) -> None:
    """Those before the last event, and those after it. Events that wait for others do not end this."""
    desk, requests = idle_desk
    lane = desk.lane(Scripted(accepts))
    settle(desk, lane, 1)
    desk.dispatcher.expect_end()
    assert [GATHER_OUTCOMES_SECONDS, GATHER_SECONDS] == requests
    desk.dispatcher.recorder.note_waiting_events()
    desk.dispatcher.recorder._settlements.clear()
    settle(desk, lane, 2)
    assert GATHER_SECONDS == requests[-1]


async def test_the_successor_of_a_delivery_is_a_waiting_event(desk: Desk) -> None:
    """The spool frees it with the outcome of the one before. Its own outcome is not gathered for long."""
    began = desk.dispatcher.recorder._urgent_until
    desk.add_lane(Scripted(accepts))
    intake = ingest_batch(*(delivery(str(n), order_key=7) for n in range(3)))
    await desk.thread.run(desk.spool.enqueue, intake, now=time.time(), dedupe_window=DAY)
    desk.dispatcher.on_enqueued({ADDRESS})
    await desk.until(lambda tally: tally.get("delivered", 0) == 3)
    assert desk.dispatcher.recorder._urgent_until > began
