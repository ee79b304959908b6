"""Makes the dry run of a relay: reads the input and routes its events, and sends nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from functools import partial

from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.dry_run import DryRunEvent, count_results, dry_run
from hookline.relay.routing import Routes
from hookline.relay.sources.broker.open_broker import open_broker
from hookline.relay.sources.broker.source_address import find_address
from hookline.relay.sources.open import open_sources, require_sources
from hookline.relay.sources.source import LineSource
from hookline.relay.spool.factory import spool_store
from hookline.relay.summary import InputEnd, Summary, summarize
from hookline.wiring.run_inputs import broker_options, file_options
from hookline.wiring.run_options import RelayOptions
from hookline.wiring.run_state import open_run_state


def dry_run_relay(options: RelayOptions, log: Log, on_event: Callable[[DryRunEvent], None]) -> Summary:
    """Pass each routing result to `on_event`; send nothing. Deliveries count as pending. Raises like `run_relay`."""
    _, snapshot = open_run_state(options)
    require_sources(options.sources, follow=False)
    clock = RelayClock()
    settings = options.settings
    lookup = spool_store(options.spool).dry_run()
    context = IngestContext(routes=Routes.from_snapshot(snapshot), defaults=settings.defaults, format=settings.format)
    source: LineSource
    if (address := find_address(options.sources)) is not None:
        source = open_broker(address, lookup.positions, broker_options(options, acknowledges=False), logger=log)
    else:
        positions = () if options.from_start else lookup.positions()
        source = open_sources(options.sources, positions, follow=False, logger=log, **file_options(options))
    window = settings.dedupe_window_seconds
    known = partial(lookup.known, delivered_after=clock.now() - window if window else math.inf)
    with closing(source):
        tally = count_results(dry_run(source, context, known), on_event)
        input_end = InputEnd(tuple(source.unfinished()), tuple(source.already_read()))
    return summarize({"pending": 0}, tally, clock.elapsed(), input_end)
