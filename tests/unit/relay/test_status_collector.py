"""The status of a relay, with its real parts and a real spool."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from builders import ACME, delivery, document, entry, ingest_batch
from hookline.errors import HooklineError, SpoolUnusable
from hookline.model import Address
from hookline.observe.log import Log
from hookline.observe.snapshot import LagStatus
from hookline.relay import status_collector
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.exchange import Attempt
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.sources.source import Position, SourceLag
from hookline.relay.spool.activity import MinuteActivity, minute_of
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.opened_spool import opened_spool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import IngestBatch
from hookline.relay.spool.sqlite import database
from hookline.relay.spool.sqlite.embedded import STATUS_FILE
from hookline.relay.status_collector import NO_PROGRESS_SECONDS, StatusCollector
from hookline.state.factory import open_state
from hookline.state.store import EMPTY
from hookline.units import parse_moment
from hookline.wiring import run_relay as wiring
from hookline.wiring.run_options import Machine, RelayOptions

pytestmark = pytest.mark.anyio


def intake(name: str) -> IngestBatch:
    return ingest_batch(delivery(name))


@asynccontextmanager
async def reporting(directory: Path, *sources: str) -> AsyncIterator[tuple[StatusCollector, SpoolThread]]:
    """The status collector of a relay that was built and not started."""
    options = RelayOptions(
        state=str(directory / "state.db"), spool=directory / "spool", sources=sources,
        settings=RelaySettings(defaults=Defaults()), rules=NetworkRules(()),
        resolver=SecretResolver(environment={}, directory=directory, by_organization=False),
    )  # fmt: skip
    log = Log(lambda line: None, level="warning", format="text", clock=lambda: 0.0)
    store = spool_store(options.spool)
    opened = opened_spool(store.open(since="now"))
    spool = opened.spool
    thread = SpoolThread(spool, log)
    _, collector = wiring.build_relay(
        options,
        state_store=open_state(options.state),
        store=store,
        thread=thread,
        log=log,
        machine=Machine(),
        opened=opened,
    )
    try:
        yield collector, thread
    finally:
        thread.close()
        spool.close()


async def test_ready_from_the_state_to_the_end(tmp_path: Path) -> None:
    """The relay is not ready while it starts and while it stops."""
    async with reporting(tmp_path) as (collector, _):
        assert "starting" == collector.unready()
        collector.ready()
        assert collector.unready() is None
        collector.stopping()
        assert "stopping" == collector.unready()


async def test_not_ready_without_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay whose rounds do not end any more, because the spool does not respond, is not ready."""
    async with reporting(tmp_path) as (collector, _):  # its dispatcher does not run
        collector.ready()
        assert collector.unready() is None
        elapsed = collector._clock.elapsed() + NO_PROGRESS_SECONDS + 1.0
        monkeypatch.setattr(collector._clock, "elapsed", lambda: elapsed)
        assert re.fullmatch(r"no progress for 3\d s: the spool does not respond", str(collector.unready()))
        assert "no progress" in str(collector.relay().unready)


async def test_not_ready_while_the_spool_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process locks the spool, the relay reports the reason. After that it writes and is ready."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    async with reporting(tmp_path) as (collector, thread):
        collector.ready()
        with closing(sqlite3.connect(tmp_path / "spool" / database.DATABASE_FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(
                thread.retry_while_stalled("reading", thread.spool.enqueue, intake("a"), now=1.0, dedupe_window=60.0)
            )
            async with asyncio.timeout(30):
                while (reason := collector.unready()) is None:
                    await asyncio.sleep(0.01)
            assert "another process has locked the spool" in reason
            assert reason == collector.relay().stalled
            other.execute("ROLLBACK")
        await writing
        assert collector.unready() is None


async def test_the_spool_is_counted_less_often_than_the_status_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting the spool is costly, so its figures remain the same for some seconds."""
    monkeypatch.setattr(status_collector, "STATS_SECONDS", 600.0)
    async with reporting(tmp_path) as (collector, thread):
        await thread.run(thread.spool.enqueue, intake("a"), now=1.0, dedupe_window=60.0)
        first = await collector.report()
        await thread.run(thread.spool.enqueue, intake("b"), now=1.0, dedupe_window=60.0)
        second = await collector.report()
        assert 1 == first.spool.tally["pending"] == second.spool.tally["pending"]
        assert second.relay.at > first.relay.at


async def test_a_missing_spool_does_not_end_the_relay(tmp_path: Path) -> None:
    """Reading the status raises, and the age of the oldest delivery is unknown."""
    async with reporting(tmp_path) as (collector, _):
        (tmp_path / "spool" / database.DATABASE_FILE).rename(tmp_path / "elsewhere.db")
        with pytest.raises(SpoolUnusable):
            await collector.report()
        assert await collector.oldest() is None


async def test_lag_of_a_source(tmp_path: Path) -> None:
    """The lag has the bytes that are not read yet, and the time without progress."""
    events = tmp_path / "events"
    events.write_bytes((b"{}" + b" " * 998 + b"\n") * 600)
    async with reporting(tmp_path, str(events)) as (collector, _):
        source = collector._ingester.source
        assert source is not None
        source.read()
        (lag,) = collector.relay().lags
        assert 0 < lag.line <= 500
        assert lag.behind
        await asyncio.sleep(0.02)
        assert collector.relay().lags[0].seconds > 0
        source.read()
        assert [] == [lag for lag in collector.relay().lags if lag.behind or lag.seconds]
        source.close()


async def test_lag_of_a_log(tmp_path: Path) -> None:
    """The lag has the messages that are not read yet, and the time without progress; no time when all are read."""
    async with reporting(tmp_path) as (collector, _):
        log = SourceLag("log", Position(name="log", line=7, offset=7), None, 3)
        now = collector._clock.elapsed()
        assert (None, 3, 0.0) == lag_figures(collector._lag(log, now))
        assert (None, 3, 5.0) == lag_figures(collector._lag(log, now + 5.0))
        read = SourceLag("log", Position(name="log", line=7, offset=7), None, 0)
        assert (None, 0, 0.0) == lag_figures(collector._lag(read, now + 6.0))


def lag_figures(lag: LagStatus) -> tuple[int | None, int | None, float]:
    return lag.behind, lag.behind_messages, lag.seconds


async def test_lag_of_a_source_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """The name appears as it does in the spool and in log lines."""
    events = tmp_path / os.fsdecode(b"caf\xe9")
    events.write_bytes(b"{}\n" * 600)
    async with reporting(tmp_path, str(events)) as (collector, _):
        source = collector._ingester.source
        assert source is not None
        batch = source.read()
        assert [f"{tmp_path}/caf\\xe9"] * 2 == [batch.source, batch.position.name]
        assert [f"{tmp_path}/caf\\xe9"] == [lag.name for lag in collector.relay().lags]
        source.close()


async def test_the_status_is_published_while_the_relay_runs(tmp_path: Path) -> None:
    """The file beside the spool exists while the relay runs, and is deleted at its end, also during a write."""
    async with reporting(tmp_path) as (collector, _):
        running = asyncio.create_task(collector.run())
        path = tmp_path / "spool" / STATUS_FILE
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.01)
        assert "starting" == json.loads(path.read_bytes())["unready"]
        running.cancel()
        collector.close()
        await asyncio.sleep(0.05)
        assert not path.exists()


async def test_the_report_has_the_drain_forecast(tmp_path: Path) -> None:
    """It takes the activity from the spool, the limits from the lane, and the backlog by age."""
    limits = {"rateLimit": "2/s", "concurrency": 3, "retry": {"maxAge": "5h"}}
    state = open_state(str(tmp_path / "state.db"))
    state.commit(EMPTY, {ACME: document(delivery=limits)}, entry())
    async with reporting(tmp_path) as (collector, thread):
        thread.spool.enqueue(
            ingest_batch(*(delivery(f"d{n}") for n in range(60))), now=collector._clock.now(), dedupe_window=0.0
        )
        minute = minute_of(collector._clock.now()) - 1
        thread.spool.record_activity([MinuteActivity(minute, ACME, 10, 0, 3.0, 3.0, 0, 30.0)])
        await collector._state_watcher.read()
        (lane,) = collector.relay().lanes
        assert (3, 2.0, 5 * 3600.0) == (lane.concurrency, lane.rate, lane.max_age)
        drain = (await collector.report()).drain
        assert {str(ACME): (60.0, 0, 1.0)} == {
            name: (one.seconds, one.expiring, one.per_second) for name, one in drain.webhooks.items()
        }


async def test_a_lane_knows_when_its_keys_end(tmp_path: Path) -> None:
    """The sooner one of tokens and signatures; none for a webhook whose keys do not retire."""
    key = {"id": "k", "secret": {"file": "k.pem"}, "retire": "2099-01-02T00:00:00Z"}
    jwt = {"type": "jwt", "algorithm": "ES256", "keys": [key]}
    signature = {"type": "standard-webhooks", "keys": [{"secret": {"file": "s"}, "retire": "2099-01-01T00:00:00Z"}]}
    state = open_state(str(tmp_path / "state.db"))
    documents = (document(authentication=jwt, signature=signature), document("stage"))
    state.commit(EMPTY, {Address("acme", one["sandbox"]): one for one in documents}, entry())
    async with reporting(tmp_path) as (collector, _):
        await collector._state_watcher.read()
        ends = {lane.webhook: lane.keys_end for lane in collector.relay().lanes}
    assert {"acme/prod": parse_moment("2099-01-01T00:00:00Z").timestamp(), "acme/stage": None} == ends


async def test_a_lane_knows_when_its_certificates_expire(tmp_path: Path, private_files: None) -> None:
    """The lane passes on what its endpoint knows: after an attempt, the end of the client certificate."""
    own = trustme.CA().issue_cert("relay@acme.test", not_after=datetime(2099, 1, 1, tzinfo=UTC))
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    delivery_policy = {"tls": {"clientCertificate": {"file": "own.pem"}}}
    state = open_state(str(tmp_path / "state.db"))
    state.commit(EMPTY, {ACME: document(url="https://127.0.0.1:9/", delivery=delivery_policy)}, entry())
    async with reporting(tmp_path) as (collector, _):
        await collector._state_watcher.read()
        assert {} == collector.relay().lanes[0].certificate_ends
        await collector._dispatcher.lanes[ACME].endpoint.post(Attempt(bytes(16), b"{}", 1, 0.0))
        (lane,) = collector.relay().lanes
    assert {"client": parse_moment("2099-01-01T00:00:00Z").timestamp()} == lane.certificate_ends


def test_errors_have_a_root() -> None:
    """A page that catches HooklineError also catches the error of a damaged spool."""
    assert issubclass(SpoolUnusable, HooklineError)
