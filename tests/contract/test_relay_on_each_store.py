"""A whole relay runs on each store through the ports alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from builders import xdm_event
from contract.spool_stores import LOCATIONS
from hookline.observe.log import Log
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.summary import Summary
from hookline.wiring import RelayOptions, dry_run_relay, run_relay
from hookline_process import ORGANIZATION, SANDBOX, Lab


def test_a_relay_delivers(kind: str, store: SpoolStore, lab: Lab, tmp_path: Path) -> None:
    """A run delivers in order through an outage and rejects a bad line; a second run sends nothing twice."""
    with lab.receiver("--outage", "1s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"retry": {"initialDelay": "200ms"}})
        events = lab.write_events("events", (xdm_event(n, n // 2) for n in range(20)))
        with events.open("a") as log:
            log.write("not an event\n")
        options = RelayOptions(
            state=str(lab.directory / ".hookline" / "state.db"),
            spool=LOCATIONS[kind](tmp_path),
            sources=[str(events)],
            settings=RelaySettings(
                defaults=Defaults(organization=ORGANIZATION, sandbox=SANDBOX), max_wait_seconds=60.0
            ),
            resolver=SecretResolver(environment={}, directory=lab.secrets, by_organization=False),
            rules=NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128"))),
            ca_file=receiver.ca_file,
        )
        log_lines = Log(lambda line: None, level="info", format="text", clock=time.time)

        def run(options: RelayOptions) -> Summary:
            return asyncio.run(run_relay(options, log_lines))[1]

        first = run(options)
        assert (20, 1, 0, 0) == (first.delivered, first.rejected, first.dead, first.pending)
        from_start = replace(options, from_start=True)
        again = run(from_start)
        assert (0, 0) == (again.delivered, again.pending)
        dry = dry_run_relay(from_start, log_lines, lambda event: None)
        assert (0, 20) == (dry.pending, dry.duplicates)
        assert 20 == len(receiver.accepted()) == len(set(receiver.accepted()))
    with store.dead_letters() as dead:
        assert 1 == dead.count(Filter()).lines
    assert (None, None) == store.statistics().relay_status()
    assert 20 == store.statistics().spool_status(now=time.time()).records
