"""A failover of the database of a shared spool to a standby, with two real servers and streaming replication."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from faulty_endpoint import running
from hookline.errors import SpoolStalled
from hookline.relay.spool.factory import spool_store
from hookline_process import Lab
from postgres_server import Server, running_server
from shared_machines import Machines, apply_webhooks, event_line
from soak_run import Audit
from waiting import wait_until

LEASE_SECONDS = 3.0
EVENTS = 6_000


@dataclass
class Pair:
    """A primary, its standby, and processes that know both."""

    machines: Machines
    primary: Server
    standby: Server
    database: str

    @property
    def location(self) -> str:
        """The address of both servers; a client takes the one that accepts writes."""
        hosts = ",".join(quote(str(one.directory), safe="") for one in (self.primary, self.standby))
        return f"postgresql://postgres@{hosts}/{self.database}?target_session_attrs=read-write"

    def is_synchronous(self) -> bool:
        (state,) = self.primary.execute("postgres", "SELECT max(sync_state) FROM pg_stat_replication")[0]
        return state in ("sync", "quorum")

    def is_streaming(self) -> bool:
        return bool(self.primary.execute("postgres", "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))

    def wait_for_standby(self) -> None:
        """Wait until the standby has everything that the primary has committed until now."""
        (place,) = self.primary.execute("postgres", "SELECT pg_current_wal_lsn()::text")[0]
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn"
        wait_until(lambda: self.standby.execute("postgres", replayed) == [(True,)])

    def fail_over(self) -> None:
        """The primary dies, and the standby takes its place."""
        self.primary.stop()
        self.standby.execute("postgres", "SELECT pg_promote()")


@contextmanager
def pair(lab: Lab, *, synchronous: bool) -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(running_server(wal_level="replica", max_wal_senders="4"))
        endpoint = stack.enter_context(running(lab.directory / "endpoint"))
        database = primary.new_database()
        machines = Machines(lab, primary, database, endpoint, stack, LEASE_SECONDS)
        spool_store(machines.location()).create(lease_seconds=LEASE_SECONDS)
        apply_webhooks(machines, concurrency=8, timeout="3s")
        standby = stack.enter_context(running_server(primary=primary))
        both = Pair(machines, primary, standby, database)
        wait_until(both.is_streaming)
        if synchronous:
            primary.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
            wait_until(both.is_synchronous)
        machines.fixed_location = both.location
        yield both


def write_events(lab: Lab, begin: int, end: int) -> None:
    with (lab.directory / "events.ndjson").open("ab") as log:
        log.writelines(map(event_line, range(begin, end)))


def start(machines: Machines) -> None:
    machines.add("reader", "relay", "--follow", "--name", "log", "events.ndjson")
    machines.add("deliverer", "deliver")


def test_a_synchronous_standby_loses_nothing(lab: Lab) -> None:
    """The primary dies while events flow. Each event reaches its endpoint, and the account adds up."""
    with pair(lab, synchronous=True) as both:
        write_events(lab, 0, EVENTS // 2)
        start(both.machines)
        audit = Audit(both.machines.endpoint.ledger)
        wait_until(lambda: audit.accepted() > EVENTS // 6, detail=both.machines.logs)
        both.fail_over()
        write_events(lab, EVENTS // 2, EVENTS)
        wait_until(lambda: not audit.missing(EVENTS), detail=both.machines.logs)
        assert [] == audit.out_of_order()
        assert EVENTS == audit.identities()
        assert both.machines.all_run()
        store = spool_store(both.location)
        wait_until(
            lambda: not store.statistics().spool_status(now=time.time()).tally["pending"], detail=both.machines.logs
        )
        tally = store.statistics().spool_status(now=time.time()).tally
        assert (EVENTS, EVENTS) == (tally["read"], tally["delivered"])


def test_lost_outcomes_of_idle_endpoints_are_pending_again(lab: Lab) -> None:
    """The standby has the events and not their outcomes. Nothing is left to send when the primary dies. The processes
    that run send the events once more."""
    with pair(lab, synchronous=False) as both:
        machines, store = both.machines, spool_store(both.location)

        def tally(name: str) -> int:
            try:
                return store.statistics().spool_status(now=time.time()).tally.get(name, 0)
            except SpoolStalled:
                return -1

        os.kill(machines.endpoint.process.pid, signal.SIGSTOP)
        write_events(lab, 0, 100)
        start(machines)
        audit = Audit(machines.endpoint.ledger)
        wait_until(lambda: tally("read") == 100, detail=machines.logs)
        both.wait_for_standby()
        both.standby.stop()
        os.kill(machines.endpoint.process.pid, signal.SIGCONT)
        wait_until(lambda: audit.accepted() >= 100 and tally("pending") == 0, detail=machines.logs)
        both.primary.stop()
        both.standby.start()
        both.standby.execute("postgres", "SELECT pg_promote()")
        wait_until(lambda: (tally("delivered"), tally("pending")) == (100, 0), detail=machines.logs)
        assert both.machines.all_run()


@pytest.mark.starts_first(16)
def test_an_asynchronous_standby_can_lose_what_a_log_does_not_keep(lab: Lab) -> None:
    """The primary commits without its standby, and dies. Of a file, the relay reads the lost lines again. The events
    of a pipe are lost if they were not sent before; events that were sent are sent again."""
    with pair(lab, synchronous=False) as both:
        write_events(lab, 0, 1000)
        machines = both.machines
        start(machines)
        audit = Audit(machines.endpoint.ledger)
        wait_until(lambda: audit.accepted() == 1000, detail=machines.logs)
        wait_until(lambda: not spool_store(both.location).statistics().spool_status(now=time.time()).tally["pending"])
        both.wait_for_standby()
        both.standby.stop()
        write_events(lab, 1000, 2000)
        wait_until(lambda: audit.accepted() == 2000, detail=machines.logs)
        apply_webhooks(machines, enabled=False)
        wait_until(lambda: all("serial=2" in machines.log(name) for name in machines.processes), detail=machines.logs)
        lost = b"".join(map(event_line, range(2000, 2010)))
        lab.hookline("relay", "--spool", both.location, "--state", both.location, stdin=lost, code=4)
        both.primary.stop()
        both.standby.start()
        both.standby.execute("postgres", "SELECT pg_promote()")
        apply_webhooks(machines)
        apply_webhooks(machines, timeout="4s")  # the lost apply had the serial of the one before
        write_events(lab, 3000, 3100)
        expected = {*range(2000), *range(3000, 3100)}
        wait_until(lambda: not audit.missing(3100) - set(range(2000, 3000)), detail=machines.logs)
        store = spool_store(both.location)
        wait_until(lambda: not store.statistics().spool_status(now=time.time()).tally["pending"],
                   detail=machines.logs)  # fmt: skip
        assert set(range(2000, 3000)) == audit.missing(3100)
        again = sum(len(entries) - 1 for entries in audit.entries())
        sys.stderr.write(f"{len(expected)} events, {again} accepted again\n")
        assert again >= 1000
