"""A whole relay runs on each store through the ports alone."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from builders import xdm_event
from contract.spool_stores import LOCATIONS
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.leases import Membership
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.summary import Summary
from hookline.wiring.dry_run_relay import dry_run_relay
from hookline.wiring.run_options import RelayOptions
from hookline.wiring.run_relay import run_relay
from hookline_process import ORGANIZATION, SANDBOX, Lab


@pytest.fixture
def slow_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes long to share the slots out."""
    rebalance = SlotLeases.rebalance

    def slow(leases: SlotLeases) -> Membership:
        time.sleep(0.5)
        return rebalance(leases)

    monkeypatch.setattr(SlotLeases, "rebalance", slow)


@pytest.mark.usefixtures("slow_shares")
def test_a_relay_delivers(kind: str, store: SpoolStore, lab: Lab, tmp_path: Path) -> None:
    """A run delivers in order through an outage and rejects a bad line; a second run sends nothing twice. A relay on
    a shared spool does not end before it has its share of the endpoints."""
    with lab.receiver("--outage", "1s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"retry": {"initialDelay": "200ms"}})
        events = lab.write_events("events", (xdm_event(n, n // 2) for n in range(20)))
        with events.open("a") as log:
            log.write("not an event\n")
        store.create_if_missing(since="now")
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
    assert [] == list(store.statistics().processes().processes)
    assert 20 == store.statistics().spool_status(now=time.time()).records
    minutes = store.statistics().activity(0)
    assert {Address(ORGANIZATION, SANDBOX)} == {one.address for one in minutes}
    assert (20, 0) == (sum(one.accepted for one in minutes), minutes[-1].pending)
    assert 0 < sum(one.failed for one in minutes)
