"""Somebody sets the machine's clock while a relay waits: nothing is late for that, and nothing too old."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from hookline.observe.log import Log
from hookline.relay.clock import SteadyClock
from hookline.relay.daemon import Settings
from hookline.relay.network import NetworkRules
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.letters import DeadLetters
from hookline.relay.summary import Summary
from hookline.wiring import RelayOptions, run_relay
from lab import ORGANIZATION, SANDBOX, Lab, Receiver, xdm_event

DAY = 86_400.0


def relayed(lab: Lab, receiver: Receiver, events: Path, *, set_by: float, after: float) -> tuple[Summary, str]:
    """One run, whose clock is set by so many seconds some seconds after its start; and what it logged."""
    said: list[str] = []
    apart = 0.0
    clock = SteadyClock(wall=lambda: time.time() + apart)

    async def run() -> Summary:
        def set_clock() -> None:
            nonlocal apart
            apart = set_by

        asyncio.get_running_loop().call_later(after, set_clock)
        log = Log(said.append, level="info", format="text", clock=time.time)
        return (await run_relay(options, log, clock=clock))[1]

    options = RelayOptions(
        state=str(lab.directory / ".hookline" / "state.db"),
        spool=lab.directory / ".hookline" / "spool",
        sources=[str(events)],
        settings=Settings(defaults=Defaults(organization=ORGANIZATION, sandbox=SANDBOX), max_wait=60.0),
        resolver=SecretResolver(environment={}, directory=lab.secrets, by_organization=False),
        rules=NetworkRules((ip_network("127.0.0.0/8"), ip_network("::1/128"))),
        ca_file=receiver.ca_file,
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
    with DeadLetters(lab.directory / ".hookline" / "spool") as dead:
        assert 1 == dead.count(Filter()).lines
