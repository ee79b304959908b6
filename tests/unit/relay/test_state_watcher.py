"""The state watcher: a changed configuration, while requests of the old one are still in flight."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders import ACME, delivery, document, entry, ingest_batch, routes, settlement
from hookline.errors import StateUnusable
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay import state_watcher
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.circuit_breaker import BreakerPhase
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import Lane, SendingConditions
from hookline.relay.delivery.rounds.endpoint_state import restore_lane
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.routing import Defaults
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import DequeueRequest, EndpointState, Retention, State
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.state_watcher import StateWatcher
from hookline.state.factory import open_state
from hookline.state.store import EMPTY, Snapshot, StateStore, Stored
from waiting import eventually

pytestmark = pytest.mark.anyio

DAY = 86_400.0
OTHER_URL = "https://hooks.acme.example/other"


class Held(Endpoint):
    """An endpoint that answers once the test gives the answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer: asyncio.Future[ExchangeResult] = asyncio.get_running_loop().create_future()
        self.requests = 0

    async def post(self, attempt: Attempt) -> ExchangeResult:
        self.requests += 1
        self.asked.set()
        return await asyncio.shield(self.answer)

    def renew(self) -> None: ...

    async def aclose(self) -> None: ...


class Desk:
    """A state watcher with a real state and spool. `endpoints` are those of its lanes, the latest last."""

    def __init__(self, directory: Path) -> None:
        self.state = open_state(str(directory / "state.db"))
        self.snapshot = EMPTY
        self.spool = SqliteSpool(directory / "spool", since="now")
        self.logged: list[str] = []
        log = Log(self.logged.append, level="info", format="text", clock=lambda: 0.0)
        self.thread = SpoolThread(self.spool, log)
        self.clock = RelayClock()
        self.counters = Counters()
        self.dispatcher = Dispatcher(
            self.thread, clock=self.clock, log=log, counters=self.counters, keep=Retention(DAY, 1_000_000)
        )
        self.endpoints: list[Held] = []
        self.epoch: int | None = 0
        self.may_send = True
        self.watcher = StateWatcher(
            self.state,
            self.dispatcher,
            self.thread,
            self._make_lane,
            context=IngestContext(routes=routes(), defaults=Defaults(), format="auto"),
            clock=self.clock,
            log=log,
            owner_epoch=lambda _: self.epoch,
        )

    def _make_lane(self, stored: Stored, state: EndpointState, _epoch: int) -> Lane:
        self.endpoints.append(Held())
        lane = Lane(
            stored.webhook,
            self.endpoints[-1],
            self.dispatcher,
            configuration_hash=stored.hash,
            counters=self.counters.of(ACME),
            clock=self.clock,
            random=Random(1),
            conditions=SendingConditions(may_send=lambda: self.may_send),
        )
        restore_lane(lane, state, self.clock.now())
        return lane

    @property
    def lane(self) -> Lane:
        return self.dispatcher.lanes[ACME]

    def apply(self, **fields: Any) -> None:
        self.snapshot = self.state.commit(self.snapshot, {ACME: document(**fields)}, entry())

    async def put(self, *names: str) -> None:
        batch = ingest_batch(*(delivery(name) for name in names))
        await self.thread.run(self.spool.enqueue, batch, now=time.time(), dedupe_window=DAY)
        self.dispatcher.on_enqueued([ACME])

    def move(self, old: Address, new: Address, **fields: Any) -> None:
        """Applies a move, as a plan would."""
        change = {"action": "move", "address": str(new), "movedFrom": str(old)}
        writes = {old: None, new: document(new, **fields)}
        self.snapshot = self.state.commit(self.snapshot, writes, entry(changes=(change,)))

    async def saved(self) -> EndpointState:
        return (await self.thread.run(self.spool.endpoint_states)).get(ACME, EndpointState())

    async def reconfigured_during_a_request(
        self, answer: ExchangeResult, *, already_gone: bool = False, **fields: Any
    ) -> None:
        """The first configuration sends a request. The answer arrives when the second one is already applied.

        `already_gone`: another request was answered with 410 before the second configuration was applied.
        """
        self.apply()
        await self.watcher.read()
        await self.put("first")
        await self.endpoints[0].asked.wait()
        if already_gone:
            self.lane.breaker.gone("http 410")
        self.apply(name="Changed", **fields)
        reading = asyncio.create_task(self.watcher.read())
        while ACME in self.dispatcher.lanes:
            await asyncio.sleep(0)
        self.endpoints[0].answer.set_result(answer)
        await reading


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    one = Desk(tmp_path)
    running = asyncio.create_task(one.dispatcher.run())
    yield one
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await one.dispatcher.stop(0.0)
    one.thread.close()
    one.spool.close()


async def test_a_retry_after_holds_for_the_next_configuration(desk: Desk) -> None:
    """The endpoint asks for no requests while its webhook is reconfigured. The relay waits, because the URL is the
    same."""
    before = time.time()
    await desk.reconfigured_during_a_request(Response(503, 1_000.0))
    assert BreakerPhase.OPEN is desk.lane.breaker.phase
    assert before + 1_000.0 <= desk.lane.breaker.until <= time.time() + 1_000.0
    assert desk.lane.breaker.until == (await desk.saved()).not_before


@pytest.mark.parametrize("already_gone", [False, True])
async def test_a_410_holds_for_the_next_configuration(desk: Desk, already_gone: bool) -> None:
    """A 410 during the reconfiguration holds for the same URL: the rest of the backlog becomes dead letters.

    It also holds if an earlier request was answered with 410 before the reconfiguration.
    """
    await desk.reconfigured_during_a_request(Response(410), already_gone=already_gone)
    assert BreakerPhase.GONE is desk.lane.breaker.phase
    await desk.put("second")

    async def all_dead() -> bool:
        return (await desk.thread.run(desk.spool.tally)).get("dead") == 2

    async def remembered() -> bool:
        return (await desk.saved()).gone_configuration == desk.lane.configuration_hash

    assert await eventually(all_dead)
    assert await eventually(remembered)
    assert 0 == desk.endpoints[1].requests


@pytest.mark.parametrize("answer", [Response(503, 1_000.0), Response(410)])
async def test_another_url_is_another_endpoint(desk: Desk, answer: Response) -> None:
    """Neither a Retry-After nor a 410 of the old URL holds for the new one."""
    await desk.reconfigured_during_a_request(answer, url=OTHER_URL)
    assert BreakerPhase.CLOSED is desk.lane.breaker.phase
    await desk.put("second")
    await desk.endpoints[1].asked.wait()

    async def forgotten() -> bool:
        return EndpointState() == await desk.saved()

    assert await eventually(forgotten)


async def test_waits_end_although_the_clock_was_set_back_before_the_start(desk: Desk) -> None:
    """The spool has a retry and a Retry-After by a clock that was a day ahead. The retry is due at once, another one
    at its time, and the endpoint is left alone for no longer than `maxDelay`."""
    await desk.put("late", "soon", "lost")
    requests = [DequeueRequest(ACME, 0, 10, False)]
    ((items, _),) = await desk.thread.run(desk.spool.dequeue_new, requests)
    dues = (time.time() + DAY, time.time() + 60.0, time.time() + DAY)
    waiting = [settlement(item, State.PENDING, due=due) for item, due in zip(items, dues, strict=True)]
    await desk.thread.run(desk.spool.settle, waiting, now=time.time())
    await desk.thread.run(
        desk.spool.save_endpoint_state, ACME, gone_reason=None, gone_configuration=None, not_before=time.time() + DAY
    )
    desk.apply()
    await desk.watcher.read()
    longest = desk.lane.webhook.delivery.retry.max_delay.total_seconds()

    async def made_due() -> bool:
        return await desk.thread.run(desk.spool.next_due, ACME, after=dues[1]) is None

    async def shortened() -> bool:
        return desk.lane.breaker.until == (await desk.saved()).not_before

    assert await eventually(made_due)
    assert dues[1] == await desk.thread.run(desk.spool.next_due, ACME, after=time.time())
    assert desk.lane.breaker.until <= time.time() + longest
    assert await eventually(shortened)


async def test_the_rate_limit_holds_across_configurations(desk: Desk) -> None:
    """The first request of the next configuration keeps its distance from the last one of the old configuration."""
    slow = {"rateLimit": "1/h"}
    desk.apply(delivery=slow)
    await desk.watcher.read()
    await desk.put("first")
    await desk.endpoints[0].asked.wait()
    desk.endpoints[0].answer.set_result(Response(200))
    desk.apply(delivery=slow, name="Changed")
    await desk.watcher.read()
    assert desk.lane.rate_limiter.delay(desk.clock.elapsed()) > 3_000.0


async def test_only_the_owner_of_an_endpoint_has_a_lane(desk: Desk) -> None:
    """A webhook gets its lane when this process becomes the owner, and loses it when another one does."""
    desk.epoch = None
    desk.apply()
    await desk.watcher.read()
    assert ACME not in desk.dispatcher.lanes
    assert ["acme"] == list(desk.watcher.organizations)
    desk.epoch = 4
    await desk.watcher.owners_changed()
    first = desk.lane
    await desk.watcher.owners_changed()
    assert first is desk.lane
    desk.epoch = None
    await desk.watcher.owners_changed()
    assert ACME not in desk.dispatcher.lanes


async def test_a_new_epoch_gets_a_new_lane(desk: Desk) -> None:
    """Another process may have settled deliveries that the lane of an earlier epoch has in memory."""
    desk.apply()
    await desk.watcher.read()
    first = desk.lane
    desk.epoch = 5
    await desk.watcher.owners_changed()
    assert first is not desk.lane


async def test_a_webhook_that_gets_another_owner_has_not_changed(desk: Desk) -> None:
    """The log names the webhooks that an apply changed or deleted, and no others."""
    desk.apply()
    await desk.watcher.read()
    for epoch in (5, None, 6):
        desk.epoch = epoch
        await desk.watcher.owners_changed()
    assert "webhook changed" not in "".join(desk.logged)
    desk.apply(name="Changed")
    await desk.watcher.read()
    assert 1 == "".join(desk.logged).count("webhook changed")


async def test_an_abandoned_lane_writes_nothing(desk: Desk) -> None:
    """The lease is over during a request: its answer is not recorded. The next lane sends the delivery again."""
    desk.apply()
    await desk.watcher.read()
    await desk.put("first")
    await desk.endpoints[0].asked.wait()
    desk.watcher.abandon_lanes()
    desk.endpoints[0].answer.set_result(Response(200))
    assert ACME not in desk.dispatcher.lanes
    await desk.watcher.owners_changed()
    await desk.endpoints[1].asked.wait()
    assert (0, 1) == ((tally := desk.spool.tally()).get("delivered", 0), tally["pending"])
    desk.endpoints[1].answer.set_result(Response(200))

    async def delivered() -> bool:
        return (await desk.thread.run(desk.spool.tally)).get("delivered") == 1

    assert await eventually(delivered)


async def test_outcomes_of_an_abandoned_lane_are_dropped(desk: Desk) -> None:
    """An outcome that waits to be written is not written after the lease is over."""
    desk.apply()
    await desk.watcher.read()
    await desk.put("first")
    await desk.endpoints[0].asked.wait()
    desk.endpoints[0].answer.set_result(Response(200))
    while desk.dispatcher.recorder.is_empty:
        await asyncio.sleep(0)
    desk.watcher.abandon_lanes()
    await desk.watcher.owners_changed()
    await desk.endpoints[1].asked.wait()
    assert 1 == desk.spool.tally()["pending"]


async def test_a_lane_on_hold_sends_nothing(desk: Desk) -> None:
    """While the process may not send, deliveries wait. They are sent when it may send again."""
    desk.may_send = False
    desk.apply()
    await desk.watcher.read()
    await desk.put("first")
    await asyncio.sleep(0.05)
    assert 0 == desk.endpoints[0].requests
    desk.may_send = True
    desk.dispatcher.continue_sending()
    await desk.endpoints[0].asked.wait()
    desk.endpoints[0].answer.set_result(Response(200))


LIVE, OTHER = Address("acme", "live"), Address("other", "prod")


async def test_pending_deliveries_follow_a_move(desk: Desk) -> None:
    """The lane of the old address ends before the new one starts: an attempt in flight is recorded, and the next
    delivery goes out once, from the new lane. The log names the move."""
    desk.apply(delivery={"concurrency": 1})
    await desk.watcher.read()
    await desk.put("first", "second")
    await desk.endpoints[0].asked.wait()
    desk.move(ACME, LIVE)
    refreshing = asyncio.create_task(desk.watcher.refresh())
    while ACME in desk.dispatcher.lanes:
        await asyncio.sleep(0)
    assert 1 == len(desk.endpoints)
    desk.endpoints[0].answer.set_result(Response(200))
    await refreshing
    assert [LIVE] == list(desk.dispatcher.lanes)
    await desk.endpoints[1].asked.wait()
    assert (1, 1) == ((tally := desk.spool.tally())["delivered"], tally["pending"])
    assert {LIVE} == desk.spool.pending()
    desk.endpoints[1].answer.set_result(Response(200))
    [line] = [one for one in desk.logged if "webhook moved" in one]
    assert ("webhook=acme/live" in line, "old=acme/prod" in line, "pending=1" in line) == (True, True, True)
    await desk.watcher.refresh()
    assert 1 == sum("webhook moved" in one for one in desk.logged)


async def test_moves_while_no_relay_ran(desk: Desk) -> None:
    """Several moves are followed in their order at the next start, also if another webhook has the address since."""
    await desk.put("first")
    desk.apply()
    desk.move(ACME, LIVE)
    desk.move(LIVE, OTHER)
    desk.snapshot = desk.state.commit(desk.snapshot, {ACME: document(ACME), LIVE: document(LIVE)}, entry())
    await desk.watcher.read()
    assert {OTHER} == desk.spool.pending()
    assert (2, {ACME, LIVE, OTHER}) == (desk.watcher.context.moves, set(desk.dispatcher.lanes))


async def test_a_lane_waits_for_the_owner_of_the_old_address(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process delivers to the old address, the new one has no lane, its deliveries are not dead, and
    events are routed as before."""
    desk.apply()
    await desk.watcher.read()
    before = desk.watcher.context
    desk.epoch = None
    await desk.watcher.owners_changed()
    await desk.put("first")
    desk.epoch = 0
    desk.move(ACME, LIVE)
    with monkeypatch.context() as patched:
        patched.setattr(desk.spool, "follow_move", lambda move, *, now: None)
        await desk.watcher.refresh()
        await desk.watcher.refresh()
    assert ({}, {ACME}) == (desk.dispatcher.lanes, desk.spool.pending())
    assert before is desk.watcher.context
    await desk.watcher.refresh()
    assert ([LIVE], {LIVE}) == (list(desk.dispatcher.lanes), desk.spool.pending())
    assert 1 == desk.watcher.context.moves


async def test_a_move_of_another_process_that_the_state_lacked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes know only the moves that were followed before the state was read: batches that were routed with
    others are refused, and the state is read again."""
    desk.apply()
    store = type(desk.state)
    read = store.read

    def read_before_the_move(state: StateStore) -> Snapshot:
        found = read(state)
        desk.move(ACME, LIVE)
        [move] = desk.snapshot.moves
        desk.spool.follow_move(RecordedMove(desk.snapshot.lineage or "", move.serial, ACME, LIVE), now=1.0)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(store, "read", read_before_the_move)
        await desk.watcher.read()
    assert 0 == desk.watcher.context.moves
    await desk.watcher.read()
    assert 1 == desk.watcher.context.moves


async def test_replays_at_an_old_address_go_to_the_new_one(desk: Desk) -> None:
    """A dead letter that was imported after the move has the old address. Its replay is delivered."""
    desk.apply()
    desk.move(ACME, LIVE)
    await desk.watcher.read()
    batch = ingest_batch(delivery("late"), moves=1)
    await desk.thread.run(desk.spool.enqueue, batch, now=time.time(), dedupe_window=DAY)
    desk.dispatcher.on_enqueued([ACME])
    await desk.watcher.refresh()
    await desk.endpoints[0].asked.wait()
    desk.endpoints[0].answer.set_result(Response(200))

    async def delivered() -> bool:
        return (await desk.thread.run(desk.spool.tally)).get("delivered") == 1

    assert await eventually(delivered)


async def test_the_rate_limit_holds_across_a_move(desk: Desk) -> None:
    """The first request from the new address keeps its distance from the last one of the old address."""
    slow = {"rateLimit": "1/h"}
    desk.apply(delivery=slow)
    await desk.watcher.read()
    await desk.put("first")
    await desk.endpoints[0].asked.wait()
    desk.endpoints[0].answer.set_result(Response(200))
    desk.move(ACME, LIVE, delivery=slow)
    await desk.watcher.read()
    assert desk.dispatcher.lanes[LIVE].rate_limiter.delay(desk.clock.elapsed()) > 3_000.0


async def test_an_unreadable_state_is_read_until_it_can_be(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes are too old, and the state cannot be read for a moment: the relay waits and does not end."""
    desk.apply()
    desk.move(ACME, LIVE)
    await desk.watcher.read()
    store, failures = type(desk.state), [StateUnusable("away")]
    read = store.read

    def unreadable_once(state: StateStore) -> Snapshot:
        if failures:
            raise failures.pop()
        return read(state)

    monkeypatch.setattr(state_watcher, "UNREADABLE_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(store, "read", unreadable_once)
    before = desk.watcher.context
    await desk.watcher.read_again()
    assert [] == failures
    assert before is not desk.watcher.context
    assert desk.watcher.unreadable is None
