"""Readers and deliverers on a shared spool, while processes, the network and the database fail.

No event is lost, the events of a message are first accepted in their order, each event that was accepted twice has an
explanation, and the account of the spool adds up.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from contract.spool_stores import balanced
from faulty_endpoint import MANNERS, running
from hookline.relay.spool.factory import spool_store
from hookline_process import Lab
from postgres_server import running_server
from shared_machines import ORGANIZATION, SANDBOXES, Machines, apply_webhooks, event_line, sandbox_of
from soak_run import Audit, message_of
from waiting import wait_until

LEASE_SECONDS = 3.0
TIMEOUT_SECONDS = 3.0
MAX_BACKLOG = 3000  # events that are written ahead of those that are accepted
SHARES = {"error": 0.02, "reset": 0.003, "accept-reset": 0.002, "hang": 0.0005, "busy": 0.0005}
FAULTS = ("kill d1", "suspend d2", "kill r1", "cut d3", "database", "kill d2", "cut r2", "stop d1")


@dataclass(frozen=True)
class Size:
    """`rounds`: how often each of the FAULTS happens, and how often it happens more until `seconds` are over.
    `events`: the number in these rounds; more rounds have more."""

    events: int
    rounds: int
    patience_seconds: float
    seconds: float = 0.0
    seed: int = 20261128

    def faults(self, random: Random) -> Iterator[str]:
        """Each round has every fault once, in another order."""
        started, done = time.monotonic(), 0
        while done < self.rounds or time.monotonic() - started < self.seconds:
            yield from random.sample(FAULTS, len(FAULTS))
            done += 1

    @property
    def events_before_each_fault(self) -> int:
        return self.events // (self.rounds * len(FAULTS))


SIZES = [
    pytest.param(Size(events=24_000, rounds=1, patience_seconds=240), id="short"),
    pytest.param(
        Size(events=200_000, rounds=8, patience_seconds=4000,
             seconds=float(os.environ.get("HOOKLINE_SOAK_SECONDS", "0"))),
        id="long", marks=pytest.mark.soak,
    ),
]  # fmt: skip


@contextmanager
def shared_spool(lab: Lab, *options: str, **delivery: Any) -> Iterator[Machines]:
    """A database, a spool in it, webhooks and an endpoint; no process yet."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server())
        endpoint = stack.enter_context(running(lab.directory / "endpoint", *options))
        machines = Machines(lab, server, server.new_database(), endpoint, stack, LEASE_SECONDS)
        spool_store(machines.location()).create(lease_seconds=LEASE_SECONDS)
        retry = {"initialDelay": "20ms", "maxDelay": "500ms", "maxAge": "24h"}
        apply_webhooks(machines, timeout=f"{TIMEOUT_SECONDS:g}s", retry=retry, **delivery)
        yield machines


def write_logs(machines: Machines, begin: int, end: int) -> None:
    """Append events to the two logs. The events of a message are in one log."""
    texts = [b"", b""]
    for number in range(begin, end):
        texts[message_of(number) % 2] += event_line(number)
    for n, text in enumerate(texts, 1):
        with (machines.lab.directory / f"events{n}.ndjson").open("ab") as log:
            log.write(text)


def do(machines: Machines, fault: str) -> None:
    what, _, name = fault.partition(" ")
    match what:
        case "kill":
            machines.kill(name)
        case "suspend":
            machines.suspend(name, LEASE_SECONDS + 2)
        case "cut":
            machines.cut(name, LEASE_SECONDS + 2)
        case "database":
            machines.restart_database(2.0)
        case "stop":
            machines.stop(name)
            machines.start(name)


def unexplained(machines: Machines, audit: Audit) -> list[Any]:
    """Events that were accepted twice without a lost answer or a fault between the two requests."""
    found = []
    for entries in audit.entries():
        for before, after in pairwise(entries):
            first, second = before.time / 1e9, after.time / 1e9
            by_fault = any(one.begin - TIMEOUT_SECONDS <= second and first <= one.end + TIMEOUT_SECONDS
                           for one in machines.faults)  # fmt: skip
            late = first - before.sent > TIMEOUT_SECONDS - 0.5
            if not (MANNERS[before.manner].loses_the_answer or by_fault or late):
                found.append((before, after))
    return found


@pytest.mark.starts_first(30)
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_lost_while_machines_fail(lab: Lab, size: Size) -> None:
    """Two readers and three deliverers; each fault happens to one of them while events flow."""
    random = Random(size.seed)
    options = [part for manner, share in SHARES.items() for part in ("--share", f"{manner}:{share}")]
    with shared_spool(lab, "--seed", str(size.seed), *options, concurrency=8) as machines:
        write_logs(machines, 0, 0)
        for n in (1, 2):
            machines.add(f"r{n}", "relay", "--follow", "--name", f"log{n}", f"events{n}.ndjson")
        for n in (1, 2, 3):
            machines.add(f"d{n}", "deliver")
        audit, started = Audit(machines.endpoint.ledger), time.monotonic()
        written = faults = 0
        for fault in size.faults(random):
            faults += 1
            until = size.events_before_each_fault * faults
            while written < until:
                burst = min(until - written, random.randrange(200, 1500))
                write_logs(machines, written, written + burst)
                written += burst
                wait_until(lambda: audit.accepted() > written - MAX_BACKLOG, within_seconds=300, detail=machines.logs)  # noqa: B023 - called at once
            do(machines, fault)
        wait_until(lambda: not audit.missing(written), within_seconds=size.patience_seconds,
                   detail=lambda: f"missing: {len(audit.missing(written))}\n{machines.logs()}")  # fmt: skip
        assert machines.all_run(), machines.logs()
        store = spool_store(machines.location())
        wait_until(lambda: not store.statistics().spool_status(now=time.time()).tally["pending"],
                   detail=machines.logs)  # fmt: skip
        tally = dict(store.statistics().spool_status(now=time.time()).tally)
        duplicates = sum(len(entries) - 1 for entries in audit.entries())
        sys.stderr.write(f"{written} events, {faults} faults, {time.monotonic() - started:.0f} s, "
                         f"{duplicates} accepted again; {tally}\n")  # fmt: skip
        assert balanced(tally)
        assert written == tally["read"] - tally.get("duplicates", 0)
        assert written == audit.identities()
        assert [] == audit.bodies_changed()
        assert [] == audit.out_of_order()
        assert [] == unexplained(machines, audit)
        wait_until(machines.is_balanced, detail=lambda: f"{machines.owners()}\n{machines.logs()}")
        for name in machines.processes:
            machines.stop(name)


HOLD_SECONDS, CONCURRENCY, RATE = 0.1, 3, 20


def too_many(times: list[float], allowed: int, window_seconds: float) -> list[float]:
    """The times at which more than `allowed` requests had arrived within the last `window_seconds`."""
    return [last for first, last in zip(times, times[allowed:], strict=False) if last - first < window_seconds]


@pytest.mark.starts_first(14)
def test_the_limits_of_an_endpoint_hold_over_all_processes(lab: Lab) -> None:
    """Three processes never exceed concurrency and rate, but for one timeout after one of them was killed."""
    with shared_spool(lab, "--hold", str(HOLD_SECONDS), concurrency=CONCURRENCY, rateLimit=f"{RATE}/s") as machines:
        write_logs(machines, 0, SANDBOXES * RATE * 12)
        machines.add("r1", "relay", "--follow", "--name", "log1", "events1.ndjson")
        for n in (1, 2):
            machines.add(f"d{n}", "deliver")
        audit = Audit(machines.endpoint.ledger)
        wait_until(machines.is_balanced, detail=machines.logs)
        wait_until(lambda: audit.accepted() > SANDBOXES * RATE, detail=machines.logs)
        machines.kill("d1")
        enough = audit.accepted() + SANDBOXES * RATE * 3
        wait_until(lambda: audit.accepted() > enough, detail=machines.logs)
        killed = machines.faults[0].end
        by_path: dict[str, list[float]] = {}
        for entry in sorted((one for entries in audit.entries() for one in entries), key=lambda one: one.time):
            by_path.setdefault(entry.path, []).append(entry.time / 1e9)
        assert len(by_path) >= SANDBOXES // 2
        for path, times in by_path.items():
            excess = too_many(times, CONCURRENCY, HOLD_SECONDS * 0.9) + too_many(times, RATE + CONCURRENCY, 1.0)
            after_takeover = killed + LEASE_SECONDS + TIMEOUT_SECONDS
            assert [] == [at for at in excess if not killed <= at <= after_takeover], path


def test_an_operator_reaches_every_owner(lab: Lab) -> None:
    """A pause stops deliveries within a second, wherever the owner runs; so do `resume` and a changed webhook."""
    with shared_spool(lab) as machines:
        write_logs(machines, 0, SANDBOXES * 12)
        machines.add("r1", "relay", "--follow", "--name", "log1", "events1.ndjson")
        for n in (1, 2):
            machines.add(f"d{n}", "deliver")
        audit = Audit(machines.endpoint.ledger)
        read = sum(message_of(number) % 2 == 0 for number in range(SANDBOXES * 12))
        wait_until(lambda: audit.accepted() == read, detail=machines.logs)
        wait_until(machines.is_balanced, detail=machines.logs)
        paused = sorted({sandbox_of(number) for number in range(200) if message_of(number) % 2 == 0})[:8]
        where = ("--spool", machines.location())
        for sandbox in paused:
            lab.hookline("pause", f"{ORGANIZATION}/{sandbox}", *where)
        wait_until(lambda: all(machines.log_has(f"paused webhook={ORGANIZATION}/{one}\n") for one in paused),
                   detail=machines.logs)  # fmt: skip
        write_logs(machines, SANDBOXES * 12, SANDBOXES * 24)
        held = sum(message_of(number) % 2 == 0 and sandbox_of(number) in paused
                   for number in range(SANDBOXES * 12, SANDBOXES * 24))  # fmt: skip
        wait_until(lambda: audit.accepted() == 2 * read - held, detail=machines.logs)
        time.sleep(1.0)
        assert 2 * read - held == audit.accepted()
        for sandbox in paused:
            lab.hookline("resume", f"{ORGANIZATION}/{sandbox}", *where)
        wait_until(lambda: audit.accepted() == 2 * read, detail=machines.logs)


def test_a_standby_reads_on(lab: Lab) -> None:
    """Of two relays with one name, one reads. When it is killed, the other one continues at its position."""
    with shared_spool(lab) as machines:
        write_logs(machines, 0, 600)
        for n in (1, 2):
            machines.add(f"r{n}", "relay", "--follow", "--name", "log", "events1.ndjson", "events2.ndjson")
        audit = Audit(machines.endpoint.ledger)
        wait_until(lambda: audit.accepted() == 600, detail=machines.logs)
        wait_until(lambda: any("standby" in machines.log(n) for n in ("r1", "r2")), detail=machines.logs)
        reader, standby = ("r1", "r2") if "standby" in machines.log("r2") else ("r2", "r1")
        machines.suspend(reader, LEASE_SECONDS + 2)
        wait_until(lambda: "this process reads the sources now" in machines.log(standby), detail=machines.logs)
        write_logs(machines, 600, 1200)
        wait_until(lambda: audit.accepted() == 1200, detail=machines.logs)
        assert [] == audit.out_of_order()
        machines.stop(standby)
        write_logs(machines, 1200, 1500)
        wait_until(lambda: audit.accepted() == 1500, detail=machines.logs)
        assert 1500 == audit.identities()
