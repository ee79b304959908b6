"""The composition root: connects the parts of a relay. Used by the command line and by tests."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import TypedDict

from hookline import __version__
from hookline.descriptors import max_connections, raise_descriptor_limit
from hookline.errors import StateUnusable
from hookline.model import Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery.endpoint_state import restore_lane
from hookline.relay.delivery.lane import Lane
from hookline.relay.formats.line_reader import is_readable
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.limits.connection_budget import ConnectionBudget
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.proxy import Proxy
from hookline.relay.http.transport_factory import TRANSPORTS, transport_factory
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.dry_run import DryRunEvent, count_results, dry_run
from hookline.relay.ingest.ingester import Ingester, IngestLimits
from hookline.relay.monitoring import monitoring_server, watchdog
from hookline.relay.relay import Ending, Progress, Relay, RelaySettings
from hookline.relay.routing import Routes, SkipNames
from hookline.relay.secrets import SecretResolver
from hookline.relay.service_manager import notify
from hookline.relay.sources.open import open_sources, require_sources
from hookline.relay.sources.source import LineSource, Position
from hookline.relay.spool.factory import SpoolStore, spool_place, spool_store
from hookline.relay.spool.spool import EndpointState
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import LaneFactory, StateWatcher
from hookline.relay.status_collector import RelayInfo, RelayParts, StatusCollector
from hookline.relay.summary import InputEnd, Summary, summarize
from hookline.settings import notify_socket, watchdog_seconds
from hookline.state.factory import open_state, without_password
from hookline.state.store import Snapshot, StateStore, Stored
from hookline.units import utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The options of a relay run. `sources` are paths, patterns, directories, or ``-`` for standard input.

    Links that were found by listing may end below `links_below`. `listen` is the host and port of metrics, health and
    status, `listen_names` are further names of that host. Metrics have labels for at most `metrics_webhooks`
    webhooks.
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
    links_below: Sequence[Path] = ()
    allow_empty: bool = False
    transport: str = "engine"
    listen: tuple[str, int] | None = None
    listen_names: Sequence[str] = ()
    metrics_webhooks: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The things that a relay takes from the machine on which it runs. A simulation passes its own.

    `descriptor_limit` prepares the limit of file descriptors and returns it. `open_source` opens the input, given the
    checkpoints; None: the sources of the options. `make_endpoint` creates the endpoint of an applied webhook; None:
    an HttpEndpoint.
    """

    clock: RelayClock = field(default_factory=RelayClock)
    random: Random = field(default_factory=SystemRandom)
    descriptor_limit: Callable[[], int] = raise_descriptor_limit
    open_source: Callable[[Iterable[Position]], LineSource] | None = None
    make_endpoint: Callable[[Webhook], Endpoint] | None = None


def _open_applied(options: RelayOptions) -> tuple[StateStore, Snapshot]:
    """Open the state. Raises StateUnusable if it has no webhook, because the relay would skip all events."""
    store = open_state(options.state)
    snapshot = store.read()
    if snapshot.webhooks or options.allow_empty:
        return store, snapshot
    reason = "no webhook is applied"
    if snapshot.lineage is None:
        reason = f"no stored state exists at {without_password(options.state)}"
    raise StateUnusable(
        f"{reason}, so every event would be skipped; nothing was read",
        hint="run `hookline apply`, name the state with --state or HOOKLINE_STATE, or allow this with --allow-empty",
    )


async def run_relay(
    options: RelayOptions,
    log: Log,
    on_progress: Callable[[Progress], None] | None = None,
    machine: Machine | None = None,
) -> tuple[Ending, Summary]:
    """Run a relay from start to end.

    Args:
        options: The options of the run.
        log: Receives the log lines.
        on_progress: Called several times per second, if given.
        machine: Replaces the machine on which the process runs, if given.

    Returns:
        Why the run ended, and its accounting.

    Raises:
        StateUnusable: The state cannot be read, or has no webhook.
        SpoolUnusable: The spool cannot be opened, or is damaged.
        HooklineError: A source cannot be read, or the address to listen on is in use.
    """
    state_store, _ = _open_applied(options)
    store = spool_store(options.spool)
    require_sources(options.sources, follow=options.follow)
    machine = machine or Machine()
    clock = machine.clock
    started = clock.elapsed()
    async with monitoring_server(options.listen, options.listen_names, options.metrics_webhooks, log) as serve:
        created = not store.exists()
        spool = store.open(since=utc_text(clock.now()))
        if created:
            log.info("spool created", spool=spool_place(store))
        thread = SpoolThread(spool, log)
        try:
            before = spool.tally()
            relay, status_collector = build_relay(
                options,
                state_store=state_store,
                store=store,
                thread=thread,
                log=log,
                machine=machine,
                on_progress=on_progress,
            )
            relay.handle_signals()
            serve(status_collector)
            try:
                async with watchdog(partial(notify, notify_socket()), status_collector, watchdog_seconds()):
                    ending = await relay.run()
            finally:
                status_collector.close()
            return ending, summarize(before, spool.tally(), clock.elapsed() - started, relay.input_end)
        finally:
            thread.close()
            spool.close()


def build_relay(
    options: RelayOptions,
    *,
    state_store: StateStore,
    store: SpoolStore,
    thread: SpoolThread,
    log: Log,
    machine: Machine,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[Relay, StatusCollector]:
    """Connect the parts of a relay that has not started.

    Args:
        options: The options of the run.
        state_store: The state.
        store: The spool's store.
        thread: The thread of the open spool.
        log: Receives the log lines.
        machine: The machine on which the relay runs.
        on_progress: Called several times per second, if given.
    """
    settings = options.settings
    clock = machine.clock
    counters = Counters()
    dispatcher = Dispatcher(thread, clock=clock, log=log, counters=counters, keep=settings.retention)
    # Before the sources, which divide the same limit.
    most = max_connections(machine.descriptor_limit(), follow=options.follow)
    limits = SharedLimits(ConnectionBudget(most, lambda: len(dispatcher.lanes)))
    state_watcher = StateWatcher(
        state_store,
        dispatcher,
        thread,
        _lane_factory(
            options,
            dispatcher,
            counters,
            machine,
            organizations=lambda: state_watcher.organizations,
            limits=limits,
        ),
        context=IngestContext(
            routes=Routes({}, {}),
            defaults=settings.defaults,
            format=settings.format,
            names=SkipNames(thread.spool.tally()),
        ),
        clock=clock,
        log=log,
    )
    open_source = machine.open_source or partial(
        open_sources, options.sources, follow=options.follow, logger=log, **_reading(options)
    )
    ingester = Ingester(
        open_source(thread.spool.positions()),
        thread,
        routing=lambda: state_watcher.context,
        lanes=dispatcher.hand_over,
        held=dispatcher.suspended_addresses,
        limits=IngestLimits(
            dedupe_window=settings.dedupe_window_seconds,
            max_pending=settings.max_pending,
            max_wait=None if options.follow else settings.max_wait_seconds,
        ),
        clock=clock,
        log=log,
    )
    parts = RelayParts(
        thread=thread,
        dispatcher=dispatcher,
        ingester=ingester,
        state_watcher=state_watcher,
        connections=limits.connections,
        clock=clock,
    )
    info = RelayInfo(
        version=__version__,
        process=os.getpid(),
        max_pending=settings.max_pending,
        dedupe_window_seconds=settings.dedupe_window_seconds,
        max_records=settings.max_records,
    )
    inform = partial(notify, notify_socket())
    status_collector = StatusCollector(
        store, parts, info, counters=counters, notify=inform, log_lines_lost=log.lines_lost
    )
    relay = Relay(settings, parts, status_collector=status_collector, log=log, notify=inform, on_progress=on_progress)
    return relay, status_collector


def _lane_factory(
    options: RelayOptions,
    dispatcher: Dispatcher,
    counters: Counters,
    machine: Machine,
    *,
    organizations: Callable[[], Iterable[str]],
    limits: SharedLimits,
) -> LaneFactory:
    """Returns a function that creates the lane of an applied webhook.

    Args:
        options: The options of the run.
        dispatcher: Receives the lanes' results.
        counters: Receive the lanes' counts.
        machine: The machine on which the relay runs.
        organizations: Returns the organizations of all applied webhooks.
        limits: Those that all endpoints share.
    """
    clock = machine.clock
    make_endpoint = machine.make_endpoint or partial(
        HttpEndpoint,
        resolver=replace(options.resolver, organizations=organizations),
        clock=clock.now,
        random=machine.random.randbytes,
        transport_factory=transport_factory(
            TRANSPORTS[options.transport], options.rules, clock.now, options.proxy, limits
        ),
        ca_file=options.ca_file,
    )

    def make_lane(stored: Stored, state: EndpointState) -> Lane:
        lane = Lane(
            stored.webhook,
            make_endpoint(stored.webhook),
            dispatcher,
            configuration_hash=stored.hash,
            counters=counters.of(stored.webhook.address),
            clock=clock,
            random=machine.random,
        )
        restore_lane(lane, state, clock.now())
        return lane

    return make_lane


def dry_run_relay(options: RelayOptions, log: Log, on_event: Callable[[DryRunEvent], None]) -> Summary:
    """Pass each routing result to `on_event`; send nothing. Deliveries count as pending. Raises like `run_relay`."""
    _, snapshot = _open_applied(options)
    require_sources(options.sources, follow=False)
    clock = RelayClock()
    settings = options.settings
    lookup = spool_store(options.spool).dry_run()
    context = IngestContext(routes=Routes.from_snapshot(snapshot), defaults=settings.defaults, format=settings.format)
    source = open_sources(options.sources, lookup.positions(), follow=False, logger=log, **_reading(options))
    window = settings.dedupe_window_seconds
    known = partial(lookup.known, delivered_after=clock.now() - window if window else math.inf)
    with closing(source):
        tally = count_results(dry_run(source, context, known), on_event)
        input_end = InputEnd(tuple(source.unfinished()), tuple(source.already_read()))
    return summarize({"pending": 0}, tally, clock.elapsed(), input_end)


class _Reading(TypedDict):
    from_start: bool
    links_below: Sequence[str]
    is_event: Callable[[bytes], bool]


def _reading(options: RelayOptions) -> _Reading:
    """Returns the options of `open_sources` that a run and a dry run share."""
    settings = options.settings
    return {
        "from_start": options.from_start,
        "links_below": [os.path.realpath(directory) for directory in options.links_below],
        "is_event": partial(is_readable, format=settings.format, mapping=settings.defaults.mapping),
    }
