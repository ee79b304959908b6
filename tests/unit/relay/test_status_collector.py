"""What a relay says of itself, with the real parts of one and a real spool."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from builders import delivery, ingest_batch
from hookline import wiring
from hookline.errors import HooklineError, SpoolUnusable
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool import IngestBatch
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.status_file import STATUS_FILE
from hookline.relay.status_collector import StatusCollector
from hookline.state.factory import open_state
from hookline.wiring import RelayOptions

pytestmark = pytest.mark.anyio


def intake(name: str) -> IngestBatch:
    return ingest_batch(delivery(name))


@asynccontextmanager
async def reporting(directory: Path, *sources: str) -> AsyncIterator[tuple[StatusCollector, SpoolThread]]:
    """The reporter of a relay that is put together and not started."""
    options = RelayOptions(
        state=str(directory / "state.db"), spool=directory / "spool", sources=sources,
        settings=RelaySettings(defaults=Defaults()), rules=NetworkRules(()),
        resolver=SecretResolver(environment={}, directory=directory, by_organization=False),
    )  # fmt: skip
    log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
    store = spool_store(options.spool)
    spool = store.open(since="now")
    thread = SpoolThread(spool, log)
    _, reporter = wiring._relay(
        options,
        store=open_state(options.state),
        spooled=store,
        thread=thread,
        log=log,
        report=None,
        clock=RelayClock(),
    )
    try:
        yield reporter, thread
    finally:
        thread.close()
        spool.close()


async def test_ready_from_the_state_to_the_end(tmp_path: Path) -> None:
    """Starting, ready, stopping."""
    async with reporting(tmp_path) as (reporter, _):
        assert "starting" == reporter.unready()
        reporter.ready()
        assert reporter.unready() is None
        reporter.stopping()
        assert "stopping" == reporter.unready()


async def test_not_ready_while_the_spool_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else keeps the spool the reason is told; when he lets go, what was to be written is, and all is
    well."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    async with reporting(tmp_path) as (reporter, thread):
        reporter.ready()
        with closing(sqlite3.connect(tmp_path / "spool" / database.DATABASE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(
                thread.retry_while_stalled("reading", thread.spool.append, intake("a"), now=1.0, dedupe_window=60.0)
            )
            async with asyncio.timeout(30):
                while (reason := reporter.unready()) is None:
                    await asyncio.sleep(0.01)
            assert "another process has kept the spool" in reason
            assert reason == reporter.relay().stalled
            other.execute("ROLLBACK")
        await writing
        assert reporter.unready() is None


async def test_the_report_is_of_this_moment_and_the_survey_of_a_little_before(tmp_path: Path) -> None:
    """Counting again at once would cost what it tells: within some seconds the same figures are given."""
    async with reporting(tmp_path) as (reporter, thread):
        await thread.call(thread.spool.append, intake("a"), now=1.0, dedupe_window=60.0)
        first = await reporter.report()
        await thread.call(thread.spool.append, intake("b"), now=1.0, dedupe_window=60.0)
        second = await reporter.report()
        assert 1 == first.spool.tally["pending"] == second.spool.tally["pending"]
        assert second.relay.at > first.relay.at


async def test_a_spool_that_is_gone_is_no_reason_to_end(tmp_path: Path) -> None:
    """Whoever asks for the report is told; the age of the oldest is unknown then."""
    async with reporting(tmp_path) as (reporter, _):
        (tmp_path / "spool" / database.DATABASE_FILE).rename(tmp_path / "elsewhere.db")
        with pytest.raises(SpoolUnusable):
            await reporter.report()
        assert await reporter.oldest() is None


async def test_lag_of_a_source(tmp_path: Path) -> None:
    """Bytes that are not read yet, and for how long it has not moved while there are some."""
    events = tmp_path / "events"
    events.write_bytes((b"{}" + b" " * 998 + b"\n") * 600)
    async with reporting(tmp_path, str(events)) as (reporter, _):
        source = reporter._ingester.source
        assert source is not None
        source.read()
        (lag,) = reporter.relay().lags
        assert 0 < lag.line <= 500
        assert lag.behind
        await asyncio.sleep(0.02)
        assert reporter.relay().lags[0].seconds > 0
        source.read()
        assert [] == [lag for lag in reporter.relay().lags if lag.behind or lag.seconds]
        source.close()


async def test_lag_of_a_source_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """It is shown as it is in the spool and in log lines."""
    events = tmp_path / os.fsdecode(b"caf\xe9")
    events.write_bytes(b"{}\n" * 600)
    async with reporting(tmp_path, str(events)) as (reporter, _):
        source = reporter._ingester.source
        assert source is not None
        batch = source.read()
        assert [f"{tmp_path}/caf\\xe9"] * 2 == [batch.source, batch.position.name]
        assert [f"{tmp_path}/caf\\xe9"] == [lag.name for lag in reporter.relay().lags]
        source.close()


async def test_it_speaks_once_a_second(tmp_path: Path) -> None:
    """The file beside the spool is there while the relay runs, and gone at its end, also when a beat is under way."""
    async with reporting(tmp_path) as (reporter, _):
        running = asyncio.create_task(reporter.run())
        path = tmp_path / "spool" / STATUS_FILE
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.01)
        assert "starting" == json.loads(path.read_bytes())["unready"]
        running.cancel()
        reporter.close()
        await asyncio.sleep(0.05)
        assert not path.exists()


def test_errors_have_a_root() -> None:
    """What a page is told to expect covers a damaged spool."""
    assert issubclass(SpoolUnusable, HooklineError)
