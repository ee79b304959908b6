"""The recorder of the ring of minutes, with a real spool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from builders import ACME, delivery, ingest_batch, settlement
from contract.spool_stores import OTHER, fresh
from hookline.errors import SpoolStalled
from hookline.observe.log import Log
from hookline.relay.activity_recorder import ActivityRecorder
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_thread import SpoolThread

pytestmark = pytest.mark.anyio


class Bench:
    """A recorder with its parts. `now` is the time of its clock."""

    def __init__(self, store: SpoolStore, spool: Spool, thread: SpoolThread) -> None:
        self.spool, self.thread, self.now = spool, thread, 600.0
        self.counters, self.own = Counters(), {ACME: None}
        self.store = store
        self.recorder = ActivityRecorder(
            thread, store.statistics(), counters=self.counters, own=self.own.keys(),
            clock=RelayClock(wall=lambda: self.now, even=lambda: self.now),
        )  # fmt: skip

    def attempt(self, outcome: str = "delivered", seconds: float = 0.1, number: int = 1) -> None:
        for _ in range(number):
            self.counters.of(ACME).add_attempt(outcome, seconds, None)

    def enqueue(self, *names: str) -> None:
        self.spool.enqueue(ingest_batch(*map(delivery, names)), now=self.now, dedupe_window=0.0)

    async def record(self) -> list[MinuteActivity]:
        """Record the rest of the run, and return all rows."""
        await self.recorder.record_last()
        return self.store.statistics().activity(0)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened(tmp_path) as created:
        yield created


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Bench]:
    store = spool_store(directory / "spool")
    spool = store.open(since="now")
    thread = SpoolThread(spool, Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0))
    try:
        yield Bench(store, spool, thread)
    finally:
        thread.close()
        spool.close()


async def test_the_activity_of_a_minute(bench: Bench) -> None:
    """Attempts by result, durations within an eighth, and the backlog."""
    bench.enqueue("a", "b", "c")
    bench.attempt(seconds=0.1, number=60)
    bench.attempt(seconds=0.2, number=38)
    bench.attempt("retry", seconds=5.0, number=2)
    (row,) = await bench.record()
    assert (10, ACME, 98, 2, 3) == (row.minute, row.address, row.accepted, row.failed, row.pending)
    assert row.median_seconds == pytest.approx(0.1, rel=0.125)
    assert row.p99_seconds == pytest.approx(5.0, rel=0.125)
    assert row.busy_seconds == pytest.approx(23.6, rel=0.125)


async def test_each_row_counts_from_the_one_before(bench: Bench) -> None:
    """The next minute has its own attempts and durations only."""
    bench.enqueue("a")
    bench.attempt("retry", seconds=9.0)
    await bench.record()
    bench.now = 660.0
    bench.attempt(seconds=0.1)
    bench.spool.settle([settlement(fresh(bench.spool)[0])], now=bench.now)
    _, row = await bench.record()
    assert (11, 1, 0, 0) == (row.minute, row.accepted, row.failed, row.pending)
    assert row.busy_seconds == pytest.approx(0.1, rel=0.125)


async def test_a_backlog_that_changes_is_activity(bench: Bench) -> None:
    """A webhook without attempts has a row in the minutes in which its backlog grows. Those of others have none."""
    bench.enqueue("a")
    bench.spool.enqueue(ingest_batch(delivery("x", address=OTHER)), now=0.0, dedupe_window=0.0)
    assert [(ACME, 1)] == [(one.address, one.pending) for one in await bench.record()]
    bench.spool.enqueue(ingest_batch(delivery("y", address=OTHER)), now=0.0, dedupe_window=0.0)
    assert 1 == len(await bench.record())


async def test_nothing_is_counted_while_nothing_happens(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay at rest reads the tally once a minute, and neither counts nor writes anything."""
    bench.enqueue("a")
    await bench.record()
    monkeypatch.setattr(type(bench.store), "backlogs", lambda self: pytest.fail("counted"))
    assert 1 == len(await bench.record())


async def test_each_minute_is_recorded_at_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder sleeps until the minute is over, and its rows have the number of that minute."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        bench.now += seconds
        bench.enqueue(f"e{len(slept)}")
        if len(slept) > 2:
            raise asyncio.CancelledError

    bench.now = 645.0
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with suppress(asyncio.CancelledError):
        await bench.recorder.run()
    assert [15.0, 60.0, 60.0] == slept
    assert [10, 11] == [one.minute for one in bench.store.statistics().activity(0)]


async def test_a_spool_that_cannot_be_written_at_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends all the same."""

    def stalled(rows: object) -> None:
        raise SpoolStalled("full")

    bench.enqueue("a")
    monkeypatch.setattr(bench.spool, "record_activity", stalled)
    assert [] == await bench.record()
