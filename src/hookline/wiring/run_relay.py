"""Runs a relay: builds its parts from the options, and connects them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from hookline import __version__
from hookline.descriptors import max_connections
from hookline.observe.log import Log
from hookline.relay.activity_recorder import ActivityRecorder
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.counters import Counters
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery.lane import Lane, SendingConditions
from hookline.relay.delivery.rounds.endpoint_state import restore_lane
from hookline.relay.http.limits.connection_budget import ConnectionBudget
from hookline.relay.http.limits.shared_limits import SharedLimits
from hookline.relay.http.transport_factory import TRANSPORTS, transport_factory
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.ingester import Ingester, IngestLimits
from hookline.relay.monitoring import monitoring_server, watchdog
from hookline.relay.relay import Ending, Progress, Relay
from hookline.relay.routing import Routes, SkipNames
from hookline.relay.service_manager import notify
from hookline.relay.slots.delivery_guard import DeliveryGuard
from hookline.relay.slots.ownership import Ownership
from hookline.relay.sources.open import require_sources
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.factory import SpoolStore, spool_place, spool_store
from hookline.relay.spool.opened_spool import OpenedSpool, join_shared, opened_spool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import EndpointState
from hookline.relay.state_watcher import LaneFactory, StateWatcher, sole_owner
from hookline.relay.status_collector import RelayInfo, RelayParts, StatusCollector
from hookline.relay.summary import Summary, summarize
from hookline.settings import notify_socket, watchdog_seconds
from hookline.state.store import StateStore, Stored
from hookline.units import utc_text
from hookline.wiring.run_inputs import open_input
from hookline.wiring.run_options import Machine, RelayOptions
from hookline.wiring.run_state import open_run_state


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
    state_store, _ = open_run_state(options)
    store = spool_store(options.spool)
    require_sources(options.sources, follow=options.follow)
    machine = machine or Machine()
    clock = machine.clock
    started = clock.elapsed()
    async with monitoring_server(options.listen, options.listen_names, options.metrics_webhooks, log) as serve:
        opened = await _open_spool(store, options, clock, log)
        spool = opened.spool
        thread = SpoolThread(spool, log, asyncio.get_running_loop())  # a source may ask it before the relay does
        try:
            relay, status_collector = build_relay(
                options,
                state_store=state_store,
                store=store,
                thread=thread,
                log=log,
                machine=machine,
                on_progress=on_progress,
                opened=opened,
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
            return ending, summarize(opened.tally, spool.tally(), clock.elapsed() - started, relay.input_end)
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
    opened: OpenedSpool,
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
        opened: The spool of `thread`, as it was opened.
    """
    settings = options.settings
    clock = machine.clock
    counters = Counters()
    dispatcher = Dispatcher(thread, clock=clock, log=log, counters=counters, keep=settings.retention)
    crash_guard = CrashGuard(thread, clock=clock, log=log)
    delivery_guard = DeliveryGuard(crash_guard, thread, clock=clock, log=log, counters=counters)
    ownership = None if opened.shared is None else Ownership(opened.shared, thread, dispatcher, delivery_guard, log)
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
            names=SkipNames(opened.tally),
        ),
        clock=clock,
        log=log,
        owner_epoch=sole_owner if ownership is None else ownership.epoch_of,
    )
    if ownership is not None:
        ownership.lanes = state_watcher
    ingester = Ingester(
        open_input(options, thread, opened, ownership=ownership, log=log, machine=machine),
        crash_guard,
        routing=state_watcher,
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
        activity_recorder=ActivityRecorder(
            thread, store.statistics(), counters=counters, clock=clock, own=dispatcher.lanes.keys()
        ),
        log=log,
        notify=inform,
        on_progress=on_progress,
        ownership=ownership,
    )
    return relay, status_collector


async def _open_spool(store: SpoolStore, options: RelayOptions, clock: RelayClock, log: Log) -> OpenedSpool:
    if store.shared or options.delivers_only or options.name:
        return await join_shared(store, log, kind="deliver" if options.delivers_only else "relay", name=options.name)
    created = not store.exists()
    spool = store.open(since=utc_text(clock.now()))
    if created:
        log.info("spool created", spool=spool_place(store))
    return opened_spool(spool)


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
