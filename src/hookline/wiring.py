"""The composition root: connects the parts of a relay. Used by the command line and by tests."""

from __future__ import annotations

import asyncio
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
from hookline.model import SecretRef, Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery.endpoint_state import restore_lane
from hookline.relay.delivery.lane import Lane, SendingConditions
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
from hookline.relay.slots.delivery_guard import DeliveryGuard
from hookline.relay.slots.ownership import Ownership
from hookline.relay.sources.broker.open_broker import BrokerOptions, open_broker
from hookline.relay.sources.broker.source_address import find_address
from hookline.relay.sources.files.leased_source import LeasedSource
from hookline.relay.sources.open import open_sources, require_sources
from hookline.relay.sources.source import LineSource, Position
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.factory import SpoolStore, spool_place, spool_store
from hookline.relay.spool.leases import SharedSpool
from hookline.relay.spool.spool import EndpointState, Spool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.state_watcher import LaneFactory, StateWatcher, sole_owner
from hookline.relay.status_collector import RelayInfo, RelayParts, StatusCollector
from hookline.relay.summary import InputEnd, Summary, summarize
from hookline.settings import notify_socket, watchdog_seconds
from hookline.state.factory import open_state, without_password
from hookline.state.store import Snapshot, StateStore, Stored
from hookline.units import utc_text


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """The options of a relay run. `sources` are paths, patterns, directories, or ``-`` for standard input, or the
    address of a distributed log.

    Links that were found by listing may end below `links_below`. `source_credentials` identify the relay to a
    distributed log. `listen` is the host and port of metrics, health and
    status, `listen_names` are further names of that host. Metrics have labels for at most `metrics_webhooks`
    webhooks. `name` is that of the relays that read the same files with a shared spool, one at a time. With
    `delivers_only`, the relay reads nothing and runs until it is stopped.
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
    source_credentials: SecretRef | None = None
    allow_empty: bool = False
    transport: str = "engine"
    listen: tuple[str, int] | None = None
    listen_names: Sequence[str] = ()
    metrics_webhooks: int = 1000
    name: str = ""
    delivers_only: bool = False


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
        spool, shared = _open_spool(store, options, clock, log)
        thread = SpoolThread(spool, log, asyncio.get_running_loop())  # a source may ask it before the relay does
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
                shared=shared,
            )
            relay.handle_signals()
            serve(status_collector)
            try:
                async with (
                    watchdog(partial(notify, notify_socket()), status_collector, watchdog_seconds()),
                    relay.lease_kept(),
                ):
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
    shared: SharedSpool | None = None,
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
        shared: The spool of `thread`, if several processes share it.
    """
    settings = options.settings
    clock = machine.clock
    counters = Counters()
    dispatcher = Dispatcher(thread, clock=clock, log=log, counters=counters, keep=settings.retention)
    crash_guard = CrashGuard(thread, clock=clock, log=log)
    delivery_guard = DeliveryGuard(crash_guard, thread, clock=clock, log=log, counters=counters)
    ownership = None if shared is None else Ownership(shared, thread, dispatcher, delivery_guard, log)
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
            guard=delivery_guard,
            limits=limits,
            ownership=ownership,
        ),
        context=IngestContext(
            routes=Routes({}, {}),
            defaults=settings.defaults,
            format=settings.format,
            names=SkipNames(thread.spool.tally()),
        ),
        clock=clock,
        log=log,
        owner_epoch=sole_owner if ownership is None else ownership.epoch_of,
    )
    if ownership is not None:
        ownership.lanes = state_watcher
    ingester = Ingester(
        _source(options, thread, ownership, log, machine),
        crash_guard,
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
        crash_guard=crash_guard,
        delivery_guard=delivery_guard,
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
    relay = Relay(
        settings,
        parts,
        status_collector=status_collector,
        log=log,
        notify=inform,
        on_progress=on_progress,
        ownership=ownership,
    )
    return relay, status_collector


def _open_spool(
    store: SpoolStore, options: RelayOptions, clock: RelayClock, log: Log
) -> tuple[Spool, SharedSpool | None]:
    """Open the spool; create an embedded one if necessary. The second value is the same spool, if it is shared."""
    if store.shared or options.delivers_only or options.name:
        shared = store.join(kind="deliver" if options.delivers_only else "relay", name=options.name)
        shared.reader = options.name
        return shared, shared
    created = not store.exists()
    spool = store.open(since=utc_text(clock.now()))
    if created:
        log.info("spool created", spool=spool_place(store))
    return spool, None


def _source(
    options: RelayOptions, thread: SpoolThread, ownership: Ownership | None, log: Log, machine: Machine
) -> LineSource | None:
    """The input; None: the relay reads nothing. The files of a name are read by one process at a time."""
    if options.delivers_only:
        return None
    if machine.open_source is not None:
        return machine.open_source(thread.spool.positions())
    if (address := find_address(options.sources)) is not None:
        positions = partial(thread.run_from_thread, thread.spool.positions)
        return open_broker(address, positions, _broker_options(options), logger=log)
    open_files = partial(open_sources, options.sources, follow=options.follow, logger=log, **_reading(options))
    if ownership is None or not options.name:
        return open_files(thread.spool.positions())
    return LeasedSource(
        partial(ownership.take_reader, options.name),
        lambda: open_files(thread.run_from_thread(thread.spool.positions)),
        log,
        name=options.name,
    )


def _broker_options(options: RelayOptions, *, acknowledges: bool = True) -> BrokerOptions:
    return BrokerOptions(
        follow=options.follow,
        from_start=options.from_start,
        acknowledges=acknowledges,
        credentials=_source_credentials(options),
        ca_file=options.ca_file,
    )


def _source_credentials(options: RelayOptions) -> bytes | None:
    """Returns the secret for the source. It belongs to the operator, so it is in the scope of no organization."""
    if options.source_credentials is None:
        return None
    return replace(options.resolver, by_organization=False).resolve(options.source_credentials, "").reveal()


def _lane_factory(
    options: RelayOptions,
    dispatcher: Dispatcher,
    counters: Counters,
    machine: Machine,
    *,
    organizations: Callable[[], Iterable[str]],
    guard: DeliveryGuard,
    limits: SharedLimits,
    ownership: Ownership | None,
) -> LaneFactory:
    """Returns a function that creates the lane of an applied webhook.

    Args:
        options: The options of the run.
        dispatcher: Receives the lanes' results.
        counters: Receive the lanes' counts.
        machine: The machine on which the relay runs.
        organizations: Returns the organizations of all applied webhooks.
        guard: Guards against deliveries that end the process.
        limits: Those that all endpoints share.
        ownership: The endpoints that this process owns. None: all.
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

    def make_lane(stored: Stored, state: EndpointState, epoch: int) -> Lane:
        lane = Lane(
            stored.webhook,
            make_endpoint(stored.webhook),
            dispatcher,
            configuration_hash=stored.hash,
            counters=counters.of(stored.webhook.address),
            clock=clock,
            random=machine.random,
            conditions=SendingConditions(
                may_send=None if ownership is None else ownership.permit(stored.webhook.address, epoch),
                take_in_hand=guard.take_in_hand(stored.webhook.address),
            ),
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
    source: LineSource
    if (address := find_address(options.sources)) is not None:
        source = open_broker(address, lookup.positions, _broker_options(options, acknowledges=False), logger=log)
    else:
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
