"""The composition root: puts the parts of a relay together. Used by the command line and by tests."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from hookline.errors import StateUnusable
from hookline.model import Webhook
from hookline.observe.log import Log
from hookline.relay.daemon import Ending, Progress, Relay, Settings
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.delivery.port import Endpoint
from hookline.relay.dispatch import Dispatcher, SpoolThread
from hookline.relay.intake import Reading
from hookline.relay.network import NetworkRules
from hookline.relay.rehearsal import Rehearsed, rehearse, tally_of
from hookline.relay.routing import Routes
from hookline.relay.secrets import SecretResolver
from hookline.relay.sources.opening import open_sources, require_sources
from hookline.relay.spool.lookup import SpoolLookup
from hookline.relay.spool.sqlite import SqliteSpool
from hookline.relay.summary import Summary, summarize
from hookline.state.opening import open_state, shown
from hookline.state.port import StateStore
from hookline.state.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """What a relay run needs to know. `sources` are paths, patterns, directories, or ``-`` for standard input."""

    state: str
    spool: Path
    sources: Sequence[str]
    settings: Settings
    resolver: SecretResolver
    rules: NetworkRules
    ca_file: Path | None = None
    follow: bool = False
    from_start: bool = False
    allow_empty: bool = False


def _open_applied(options: RelayOptions) -> tuple[StateStore, Snapshot]:
    """The state that a relay follows. Raises StateUnusable when it holds no webhook: a log is not to be eaten."""
    store = open_state(options.state)
    snapshot = store.read()
    if snapshot.webhooks or options.allow_empty:
        return store, snapshot
    what = (
        f"there is no stored state at {shown(options.state)}" if snapshot.lineage is None else "no webhook is applied"
    )
    raise StateUnusable(
        f"{what}, so every event would be skipped; nothing was read",
        hint="run `hookline apply`, name the state with --state or HOOKLINE_STATE, or allow this with --allow-empty",
    )


async def run_relay(
    options: RelayOptions, log: Log, report: Callable[[Progress], None] | None = None
) -> tuple[Ending, Summary]:
    """One run from its first line to its summary. Raises StateUnusable, SpoolUnusable, HooklineError for sources."""
    store, _ = _open_applied(options)
    require_sources(options.sources, follow=options.follow)
    started = time.monotonic()
    spool = SqliteSpool(options.spool, since=datetime.now(UTC).isoformat(timespec="seconds"))
    thread = SpoolThread(spool)
    try:
        before = spool.tally()
        dispatcher = Dispatcher(
            thread, partial(_make_endpoint, options), clock=time.time, random=random.SystemRandom(), log=log
        )
        relay = Relay(
            options.settings,
            store=store,
            thread=thread,
            dispatcher=dispatcher,
            open_source=partial(
                open_sources, options.sources, follow=options.follow, from_start=options.from_start, notes=log
            ),
            log=log,
            clock=time.time,
            report=report,
        )
        relay.obey_signals()
        ending = await relay.run()
        return ending, summarize(before, spool.tally(), time.monotonic() - started)
    finally:
        thread.close()
        spool.close()


def _make_endpoint(options: RelayOptions, webhook: Webhook) -> Endpoint:
    return HttpEndpoint(
        webhook,
        resolver=options.resolver,
        rules=options.rules,
        clock=time.time,
        random=os.urandom,
        ca_file=options.ca_file,
    )


def rehearse_relay(options: RelayOptions, log: Log, tell: Callable[[Rehearsed], None]) -> Summary:
    """A dry run: hands every event's fate to `tell`, and sums them up. What would be sent is `pending` in it."""
    _, snapshot = _open_applied(options)
    require_sources(options.sources, follow=False)
    started = time.monotonic()
    settings = options.settings
    lookup = SpoolLookup(options.spool)
    reading = Reading(routes=Routes.of(snapshot), defaults=settings.defaults, format=settings.format)
    events = rehearse(
        open_sources(options.sources, lookup.positions(), follow=False, from_start=options.from_start, notes=log),
        reading,
        partial(lookup.known, delivered_after=time.time() - settings.dedupe_window),
    )
    tally = tally_of(events, tell)
    return summarize({"pending": 0}, tally, time.monotonic() - started)
