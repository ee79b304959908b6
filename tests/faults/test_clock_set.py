"""Somebody sets the machine's clock while a relay runs: nothing is late, too old, deleted or sent twice for that."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from builders import xdm_event
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.sqlite.dead_letters import SqliteDeadLetters
from hookline.relay.summary import Summary
from hookline.wiring.run_options import Machine, RelayOptions
from hookline.wiring.run_relay import run_relay
from hookline_process import ORGANIZATION, SANDBOX, Lab, Receiver

DAY = 86_400.0


def relayed(
    lab: Lab, receiver: Receiver, events: Path, *, set_by: float, after: float, from_start: bool = False
) -> tuple[Summary, str]:
    """One run, and its log. The clock is set by `set_by` seconds, `after` seconds after it was made; 0: before
    anything is read."""
    said: list[str] = []
    apart = 0.0
    clock = RelayClock(wall=lambda: time.time() + apart)

    async def run() -> Summary:
        def set_clock() -> None:
            nonlocal apart
            apart = set_by

        if after:
            asyncio.get_running_loop().call_later(after, set_clock)
        else:
            set_clock()
        log = Log(said.append, level="info", format="text", clock=time.time)
        return (await run_relay(options, log, machine=Machine(clock=clock)))[1]

    options = RelayOptions(
        state=str(lab.directory / ".hookline" / "state.db"),
        spool=lab.directory / ".hookline" / "spool",
        sources=[str(events)],
        settings=RelaySettings(defaults=Defaults(organization=ORGANIZATION, sandbox=SANDBOX), max_wait_seconds=60.0),
        resolver=SecretResolver(environment={}, directory=lab.secrets, by_organization=False),
        rules=NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128"))),
        ca_file=receiver.ca_file,
        from_start=from_start,
    )
    return asyncio.run(run()), "".join(said)


@pytest.mark.parametrize("set_by", [-DAY, 30 * DAY], ids=["back", "forward"])
def test_waits_and_ages_are_what_they_were(lab: Lab, set_by: float) -> None:
    """Set back by a day, no retry comes a day late; set forward by a month, no event is older than its hour."""
    with lab.receiver("--outage", "4s") as receiver:
        lab.apply(
            f"https://localhost:{receiver.port}/feedback",
            delivery={"retry": {"initialDelay": "500ms", "maxDelay": "2s", "maxAge": "1h"}},
        )
        events = lab.write_events("events", (xdm_event(n, n) for n in range(30)))
        summary, said = relayed(lab, receiver, events, set_by=set_by, after=1.5)
        assert (30, 0, 0) == (summary.delivered, summary.dead, summary.pending)
        assert 30 == len(set(receiver.accepted()))
    assert "the clock was set" in said


def test_a_clock_that_is_set_forward_deletes_no_dead_letter(lab: Lab) -> None:
    """Set forward past `--retain`, what was rejected and delivered before is still there, and still known."""
    with lab.receiver("--outage", "3s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"retry": {"initialDelay": "500ms"}})
        events = lab.write_events("events", (xdm_event(n, n) for n in range(10)))
        with events.open("a") as log:
            log.write("not an event\n")
        summary, said = relayed(lab, receiver, events, set_by=60 * DAY, after=0.5)
        assert "the clock was set" in said
        assert (10, 1) == (summary.delivered, summary.rejected)
    with SqliteDeadLetters(lab.directory / ".hookline" / "spool") as dead:
        assert 1 == dead.count(Filter()).lines


def test_a_clock_that_is_set_forward_sends_nothing_twice(lab: Lab) -> None:
    """Set forward past `--dedupe-window`, an event that was delivered a moment ago is a duplicate."""
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        events = lab.write_events("events", (xdm_event(n, n) for n in range(10)))
        first, _ = relayed(lab, receiver, events, set_by=0.0, after=0.0)
        second, _ = relayed(lab, receiver, events, set_by=7 * DAY, after=0.0, from_start=True)
        assert (10, 0) == (first.delivered, first.duplicates)
        assert (0, 10) == (second.delivered, second.duplicates)
        assert 10 == len(receiver.accepted())
