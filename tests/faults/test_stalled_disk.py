"""A disk that does not answer, or a database that another process keeps locked, stops neither lanes nor the loop."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders import delivery, ingest_batch, webhook
from hookline.model import Address, DeliveryPolicy
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.lane import MIN_UNWRITTEN, Lane
from hookline.relay.http.exchange import Attempt, ExchangeResult, Response
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import EndpointState, Retention
from hookline.relay.spool.sqlite import sqlite_spool
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from hookline.relay.spool.sqlite.storage_access import StorageAccess
from waiting import eventually

pytestmark = pytest.mark.anyio

ADDRESSES = (Address("acme", "prod"), Address("other", "prod"))
EVENTS = 1000  # for each webhook
BEFORE_THE_STALL = 400
CONCURRENCY = 16
DAY = 86_400.0
MOST_SECONDS = 30.0  # of a stall; a loop that waits for the disk could not end it


class Disk:
    """A disk whose syncs and commits wait while `answers` is clear. It notes the threads that use it."""

    def __init__(self, *, sync: bool = False, commit: bool = False) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.threads: set[str] = set()
        self.access = StorageAccess(
            connect=lambda *arguments, **options: sqlite3.connect(
                *arguments, factory=self._connection(commit), **options
            ),
            sync=self._sync if sync else os.fsync,
            reserve_bytes=4096,
        )

    def _sync(self, descriptor: int) -> None:
        self.answers.wait(MOST_SECONDS)
        os.fsync(descriptor)

    def _connection(self, waits: bool) -> type[sqlite3.Connection]:
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
                disk.threads.add(threading.current_thread().name)
                if waits and statement == "COMMIT":
                    disk.answers.wait(MOST_SECONDS)
                return super().execute(statement, parameters)

            def executemany(self, statement: str, parameters: Iterable[Any]) -> sqlite3.Cursor:
                disk.threads.add(threading.current_thread().name)
                return super().executemany(statement, parameters)

        return Connection

    @contextmanager
    def stalled(self) -> Iterator[None]:
        self.answers.clear()
        try:
            yield
        finally:
            self.answers.set()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Another process writes to the database, and does not end its transaction."""
    with closing(sqlite3.connect(directory / "spool.db", isolation_level=None, timeout=0.01)) as other:
        while True:
            with suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
                break
        yield
        other.execute("ROLLBACK")


class Accepting(Endpoint):
    """An endpoint that accepts every delivery, and counts them."""

    def __init__(self) -> None:
        self.accepted: list[bytes] = []

    async def post(self, attempt: Attempt) -> ExchangeResult:
        await asyncio.sleep(0)
        self.accepted.append(attempt.id)
        return Response(204)

    def renew(self) -> None: ...

    async def aclose(self) -> None: ...


def fill(directory: Path) -> None:
    with closing(SqliteSpool(directory, since="now")) as spool:
        deliveries = (delivery(f"{one}-{n}", address=one) for one in ADDRESSES for n in range(EVENTS))
        spool.enqueue(ingest_batch(*deliveries), now=time.time(), dedupe_window=DAY)


@asynccontextmanager
async def delivering(spool: SqliteSpool, endpoints: Iterable[Accepting]) -> AsyncIterator[list[Lane]]:
    """Run a dispatcher with a lane for each endpoint. Yields the lanes."""
    log = Log(lambda _line: None, level="info", format="text", clock=lambda: 0.0)
    thread, clock, counters = SpoolThread(spool, log), RelayClock(wall=time.time), Counters()
    dispatcher = Dispatcher(thread, clock=clock, log=log, counters=counters, keep=Retention(DAY, 1_000_000))
    for address, endpoint in zip(ADDRESSES, endpoints, strict=True):
        policy = DeliveryPolicy(concurrency=CONCURRENCY)
        lane = Lane(
            webhook(address, delivery=policy), endpoint, dispatcher, configuration_hash="first",
            counters=counters.of(address), clock=clock, random=Random(1),
        )  # fmt: skip
        dispatcher.add_lane(lane, EndpointState(), None)
    running = asyncio.create_task(dispatcher.run())
    try:
        yield list(dispatcher.lanes.values())
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await dispatcher.stop(1.0)
        thread.close()


def recorded(directory: Path) -> int:
    """The number of accepted deliveries in the spool, read beside the relay."""
    with closing(sqlite3.connect(directory / "spool.db")) as connection:
        found = connection.execute("SELECT count FROM tally WHERE name = 'delivered'").fetchone()
        return found[0] if found else 0


@pytest.mark.parametrize("cause", ["sync", "commit", "locked"])
async def test_lanes_post_while_the_spool_waits(cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lane posts until its results without a record reach their bound, and goes on once the disk answers.

    The wait is as long as the test wants. If the loop waited too, it could not end the wait, and the test would hang.
    """
    monkeypatch.setattr(sqlite_spool, "_SYNC_SECONDS", 0.0)  # each group of results is synced
    directory = tmp_path / "spool"
    fill(directory)
    disk = Disk(sync=cause == "sync", commit=cause == "commit")
    endpoints = [Accepting(), Accepting()]
    stall: Callable[[], Any] = disk.stalled if cause != "locked" else lambda: locked(directory)

    async def until(condition: Callable[[], bool]) -> None:
        async def holds() -> bool:
            return condition()

        assert await eventually(holds)

    with closing(SqliteSpool(directory, disk.access, since="now")) as spool:
        disk.threads.clear()
        async with delivering(spool, endpoints) as lanes:
            await until(lambda: all(len(one.accepted) >= BEFORE_THE_STALL for one in endpoints))
            with stall():
                await until(lambda: all(lane.full for lane in lanes))  # a lane posts until its bound
                await asyncio.sleep(0.1)
                posted = [len(one.accepted) for one in endpoints]
                assert sum(posted) - recorded(directory) <= 2 * (MIN_UNWRITTEN + CONCURRENCY)
            await until(lambda: recorded(directory) == 2 * EVENTS)
            threads = set(disk.threads)
    assert [EVENTS, EVENTS] == [len(set(one.accepted)) for one in endpoints]
    assert [EVENTS, EVENTS] == [len(one.accepted) for one in endpoints]
    assert {"spool"} == threads, "no other thread waits for the disk"
