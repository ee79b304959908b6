"""The composition root: puts the parts of a relay together. Used by the command line and by tests."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hookline import __version__
from hookline.errors import StateUnusable
from hookline.model import Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.transport_factory import TransportFactory, transport_factory_by_name
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.dry_run import DryRunEvent, count_results, dry_run
from hookline.relay.ingest.ingester import Ingester, IngestLimits
from hookline.relay.monitoring import serving_monitoring, watchdog
from hookline.relay.relay import Ending, Progress, Relay, RelaySettings
from hookline.relay.routing import Routes, SkipNames
from hookline.relay.secrets import SecretResolver
from hookline.relay.service_manager import notify
from hookline.relay.sources.open import open_sources, require_sources
from hookline.relay.spool.factory import SpoolStore, spool_store
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import StateWatcher
from hookline.relay.status_collector import StatusCollector
from hookline.relay.summary import Summary, summarize
from hookline.settings import notify_socket, watchdog_seconds
from hookline.state.factory import open_state, without_password
from hookline.state.store import Snapshot, StateStore
from hookline.units import utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What a relay run needs to know. `sources` are paths, patterns, directories, or ``-`` for standard input.

    `listen` is where metrics, health and status are served (host and port), `metrics_webhooks` how many webhooks have
    labels there.
    """

    state: str
    spool: str | Path
    sources: Sequence[str]
    settings: RelaySettings
    resolver: SecretResolver
    rules: NetworkRules
    ca_file: Path | None = None
    proxy: Proxy | None = None
    follow: bool = False
    from_start: bool = False
    allow_empty: bool = False
    transport: str = "engine"
    listen: tuple[str, int] | None = None
    metrics_webhooks: int = 1000


def _open_applied(options: RelayOptions) -> tuple[StateStore, Snapshot]:
    """The state that a relay follows. Raises StateUnusable when it holds no webhook: a log is not to be eaten."""
    store = open_state(options.state)
    snapshot = store.read()
    if snapshot.webhooks or options.allow_empty:
        return store, snapshot
    what = (
        f"there is no stored state at {without_password(options.state)}"
        if snapshot.lineage is None
        else "no webhook is applied"
    )
    raise StateUnusable(
        f"{what}, so every event would be skipped; nothing was read",
        hint="run `hookline apply`, name the state with --state or HOOKLINE_STATE, or allow this with --allow-empty",
    )


async def run_relay(
    options: RelayOptions,
    log: Log,
    report: Callable[[Progress], None] | None = None,
    clock: RelayClock | None = None,
) -> tuple[Ending, Summary]:
    """One run from its first line to its summary.

    Raises StateUnusable, SpoolUnusable, HooklineError for sources and for a port in use.
    """
    store, _ = _open_applied(options)
    spooled = spool_store(options.spool)
    require_sources(options.sources, follow=options.follow)
    started = time.monotonic()
    async with serving_monitoring(options.listen, options.metrics_webhooks, log) as serve:
        spool = spooled.open(since=utc_text(datetime.now(UTC)))
        thread = SpoolThread(spool, log)
        try:
            before = spool.tally()
            relay, reporter = _relay(
                options,
                store=store,
                spooled=spooled,
                thread=thread,
                log=log,
                report=report,
                clock=clock or RelayClock(),
            )
            relay.obey_signals()
            serve(reporter)
            try:
                async with watchdog(_tell(), reporter, watchdog_seconds()):
                    ending = await relay.run()
            finally:
                reporter.close()
            return ending, summarize(before, spool.tally(), time.monotonic() - started)
        finally:
            thread.close()
            spool.close()


def _tell() -> Callable[[str], None]:
    return partial(notify, notify_socket())


def _relay(
    options: RelayOptions,
    *,
    store: StateStore,
    spooled: SpoolStore,
    thread: SpoolThread,
    log: Log,
    report: Callable[[Progress], None] | None,
    clock: RelayClock,
) -> tuple[Relay, StatusCollector]:
    settings = options.settings
    counters = Counters()
    dispatcher = Dispatcher(thread, clock=clock, log=log, counters=counters, keep=settings.retention)
    opened = transport_factory_by_name(options.transport, options.rules, time.time, options.proxy)
    resolver = replace(options.resolver, organizations=lambda: applied.organizations)
    applied = StateWatcher(
        store,
        dispatcher,
        thread,
        partial(_make_endpoint, options, resolver, opened),
        counters=counters,
        names=SkipNames(thread.spool.tally()),
        defaults=settings.defaults,
        format=settings.format,
        clock=clock,
        random=random.SystemRandom(),
        log=log,
    )
    source = open_sources(
        options.sources,
        thread.spool.positions(),
        follow=options.follow,
        from_start=options.from_start,
        logger=log,
    )
    intaking = Ingester(
        source,
        thread,
        routing=lambda: applied.reading,
        on_enqueued=dispatcher.on_enqueued,
        held=dispatcher.held,
        limits=IngestLimits(
            dedupe_window=settings.dedupe_window,
            max_pending=settings.spool_max,
            max_wait=None if options.follow else settings.max_wait,
        ),
        clock=clock,
        log=log,
    )
    reporter = StatusCollector(
        spooled,
        thread=thread,
        dispatcher=dispatcher,
        ingester=intaking,
        applied=applied,
        counters=counters,
        clock=clock,
        process=os.getpid(),
        version=__version__,
        spool_max=settings.spool_max,
        dedupe_window=settings.dedupe_window,
        records_max=settings.records_max,
        tell=_tell(),
    )
    relay = Relay(
        settings,
        applied=applied,
        dispatcher=dispatcher,
        ingester=intaking,
        thread=thread,
        status_collector=reporter,
        clock=clock,
        log=log,
        notify=_tell(),
        report=report,
    )
    return relay, reporter


def _make_endpoint(
    options: RelayOptions, resolver: SecretResolver, opened: TransportFactory, webhook: Webhook
) -> Endpoint:
    return HttpEndpoint(
        webhook,
        resolver=resolver,
        clock=time.time,
        random=os.urandom,
        opened=opened,
        ca_file=options.ca_file,
    )


def rehearse_relay(options: RelayOptions, log: Log, tell: Callable[[DryRunEvent], None]) -> Summary:
    """A dry run: hands every event's fate to `tell`, and sums them up. What would be sent is `pending` in it."""
    _, snapshot = _open_applied(options)
    require_sources(options.sources, follow=False)
    started = time.monotonic()
    settings = options.settings
    lookup = spool_store(options.spool).dry_run()
    reading = IngestContext(routes=Routes.from_snapshot(snapshot), defaults=settings.defaults, format=settings.format)
    source = open_sources(
        options.sources, lookup.positions(), follow=False, from_start=options.from_start, logger=log
    )
    try:
        known = partial(lookup.known, delivered_after=time.time() - settings.dedupe_window)
        tally = count_results(dry_run(source, reading, known), tell)
    finally:
        source.close()
    return summarize({"pending": 0}, tally, time.monotonic() - started)
