"""Fifty webhooks, of which two are faulty: the effect on the other forty-eight.

    python benchmarks/isolation.py [OPTION …] [-- RELAY OPTION …]

Every run is made with and without the two faulty webhooks, in turn. `--faults` chooses these two:

- ``down`` (default): one hangs and one refuses connections.
- ``handshakes``: both close 64 connections after each answer, and choose a key exchange that costs a hundred times
  more than usual. Their endpoint runs at low priority, because it would run on another machine.
- ``connections``: both hang with 1,024 connections each, under a limit of 1,024 file descriptors.

The first measurement is throughput: the relay reads a file of `--events` for each webhook at full speed. The second
is latency: events arrive through a pipe at a fixed `--rate` (events per second over all webhooks), and the time runs
from the write into the pipe until the endpoint accepts the event. One process serves the endpoints of all healthy
webhooks and records the time of every request.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench_lab import Process, apply, event, machine, relay_command, table, write_events, write_key
from faulty_endpoint import Endpoint, Entry, Ledger, running

KEEPS: Final = 0.90  # of the throughput
AT_MOST: Final = 2.0  # times the p99 latency
PATIENCE: Final = 300.0  # seconds, for a whole run
BURST: Final = 0.01  # seconds between two groups of events, because producers write in groups


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies in milliseconds; `processor` is the relay's processor time per healthy event, in microseconds."""

    median: float
    p99: float
    processor: float


FAULTS: Final = {
    "down": "one that hangs and one that refuses",
    "handshakes": "two with expensive handshakes",
    "connections": "two that hang with 1,024 connections each",
}


@contextmanager
def refusing() -> Iterator[int]:
    """A reserved port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@dataclass(frozen=True, slots=True)
class Faulty:
    """A faulty webhook. `ca_file`: the authority of its certificate, if it gets as far as to show one."""

    url: str
    concurrency: int = 16
    ca_file: Path | None = None


@contextmanager
def faulty(faults: str, directory: Path, endpoint: Endpoint) -> Iterator[tuple[Faulty, Faulty]]:
    """The webhooks 0 and 1. Their endpoints run within the block."""
    hangs = f"https://localhost:{endpoint.port}/as/hang"
    if faults == "down":
        with refusing() as port:
            yield Faulty(hangs), Faulty(f"https://localhost:{port}/")
    elif faults == "connections":
        yield Faulty(hangs, 1024), Faulty(hangs, 1024)
    else:
        with running(directory / "expensive", groups="ffdhe8192") as expensive:
            os.setpriority(os.PRIO_PROCESS, expensive.process.pid, 19)
            one = Faulty(f"https://localhost:{expensive.port}/as/accept-close", 64, expensive.ca_file)
            yield one, one


@dataclass(frozen=True, slots=True)
class Scene:
    """The setting of one relay. The webhooks 0 and 1 are faulty. `first` is 0 with these two, otherwise 2."""

    directory: Path
    endpoint: Endpoint
    faulty: tuple[Faulty, Faulty]
    first: int
    webhooks: int
    options: tuple[str, ...]
    descriptors: int | None

    def apply(self) -> None:
        webhooks: list[dict[str, Any]] = [
            {"sandbox": f"box-{number}", "url": f"https://localhost:{self.endpoint.port}/webhook/{number}"}
            for number in range(2, self.webhooks)
        ]
        if self.first == 0:
            webhooks += [
                {"sandbox": f"box-{number}", "url": one.url, "delivery": {"concurrency": one.concurrency}}
                for number, one in enumerate(self.faulty)
            ]
        apply(self.directory, webhooks)
        write_key(self.directory)

    def start(self, source: str, *, stdin: int = subprocess.DEVNULL) -> Process:
        authorities = self.directory / "authorities.pem"
        files = dict.fromkeys((self.endpoint.ca_file, *(one.ca_file for one in self.faulty if one.ca_file)))
        authorities.write_bytes(b"".join(file.read_bytes() for file in files))
        command = relay_command(authorities, "--grace", "1s", *self.options, source)
        if self.descriptors is not None:
            command = ("sh", "-c", f'ulimit -n {self.descriptors}; exec "$@"', "sh", *command)
        return Process(command, self.directory, stdin=stdin)

    def accepted(self, number: int, relay: Process) -> list[Entry]:
        """Wait until the healthy webhooks have accepted `number` events; these events."""
        ledger, entries = Ledger(self.endpoint.ledger), list[Entry]()
        deadline = time.monotonic() + PATIENCE
        while len(entries) < number:
            if relay.usage(wait=False) is not None or time.monotonic() > deadline:
                raise SystemExit(f"{len(entries)} of {number} accepted\n{relay.said()}")
            time.sleep(0.1)
            entries += [entry for entry in ledger.news() if entry.accepted]
        return entries


def throughput(scene: Scene, events: int) -> float:
    """Accepted events per second of the healthy webhooks, with `events` for each webhook."""
    webhooks = range(scene.first, scene.webhooks)
    write_events(
        scene.directory / "events",
        (event(n * scene.webhooks + each, sandbox=f"box-{each}") for n in range(events) for each in webhooks),
    )
    relay = scene.start("events")
    try:
        entries = scene.accepted(events * (scene.webhooks - 2), relay)
    finally:
        relay.end()
    return len(entries) / (entries[-1].time - entries[0].time) * 1e9


def latency(scene: Scene, rate: float, seconds: float) -> Latency:
    """The latency of the healthy webhooks' events at `rate` events per second over all webhooks.

    The healthy webhooks get the same rate in both runs: without the faulty two, the events of those are left out.
    """
    relay = scene.start("-", stdin=subprocess.PIPE)
    pipe = relay.popen.stdin
    assert pipe is not None
    healthy = 0
    try:
        pipe.write(event(0, sandbox="box-2", request_id="warm-up"))
        pipe.flush()
        scene.accepted(1, relay)
        begin = time.perf_counter()
        written, total = 0, int(rate * seconds)
        while written < total:
            time.sleep(BURST)
            while written < min(total, (time.perf_counter() - begin) * rate):
                written += 1
                each = written % scene.webhooks
                if each >= scene.first:
                    pipe.write(event(written, sandbox=f"box-{each}", request_id=str(time.time_ns())))
                    healthy += each >= 2
            pipe.flush()
        entries = scene.accepted(healthy + 1, relay)
    finally:
        usage = relay.end()
        pipe.close()
    taken = sorted((entry.time - int(entry.request_id)) / 1e6 for entry in entries if entry.request_id != "warm-up")
    return Latency(statistics.median(taken), taken[int(len(taken) * 0.99)], usage.processor / healthy * 1e6)


@contextmanager
def scene(arguments: argparse.Namespace, *, first: int) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        directory = Path(name)
        with (
            running(directory / "endpoint") as endpoint,
            faulty(arguments.faults, directory, endpoint) as two,
        ):
            descriptors = 1024 if arguments.faults == "connections" else None
            options = tuple(arguments.relay)
            made = Scene(directory, endpoint, two, first, arguments.webhooks, options, descriptors)
            made.apply()
            yield made


@dataclass(slots=True)
class Measured:
    rates: list[float]
    latencies: list[Latency]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def latency(self) -> Latency:
        return Latency(
            *(statistics.median(getattr(one, field) for one in self.latencies) for field in Latency.__slots__)
        )


def verdict(ratio: float, *, within: bool) -> str:
    return f"{ratio:.2f} {'within' if within else 'BEYOND'}"


def report(arguments: argparse.Namespace, without: Measured, beside: Measured) -> None:
    print(
        f"{arguments.webhooks - 2} healthy webhooks, alone and beside {FAULTS[arguments.faults]}; "
        f"medians of {arguments.runs} runs; {machine()}"
    )
    fast, p50, p99 = (
        beside.rate / without.rate,
        beside.latency.median / without.latency.median,
        beside.latency.p99 / without.latency.p99,
    )
    rows = [
        ("at full speed, events/s", f"{without.rate:,.0f}", f"{beside.rate:,.0f}",
         verdict(fast, within=fast >= KEEPS), f">= {KEEPS:.2f}"),
        (f"at {arguments.rate:g} events/s: p50, ms", f"{without.latency.median:.1f}", f"{beside.latency.median:.1f}",
         f"{p50:.2f}", ""),
        (f"at {arguments.rate:g} events/s: p99, ms", f"{without.latency.p99:.1f}", f"{beside.latency.p99:.1f}",
         verdict(p99, within=p99 <= AT_MOST), f"<= {AT_MOST:.2f}"),
        (f"at {arguments.rate:g} events/s: CPU µs/event", f"{without.latency.processor:.0f}",
         f"{beside.latency.processor:.0f}", f"{beside.latency.processor / without.latency.processor:.2f}", ""),
    ]  # fmt: skip
    print(table(("", "alone", "beside the two", "ratio", "limit"), rows))
    if min(without.rate, beside.rate) < 2 * arguments.rate:
        print("The relay is hardly faster than --rate: these latencies are those of a queue. Use a lower one.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", choices=FAULTS, default="down")
    parser.add_argument("--webhooks", type=int, default=50)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    arguments = parser.parse_args()
    measured = {first: Measured([], []) for first in (2, 0)}
    for _ in range(arguments.runs):
        for first, one in measured.items():
            with scene(arguments, first=first) as each:
                one.rates.append(throughput(each, arguments.events))
            with scene(arguments, first=first) as each:
                one.latencies.append(latency(each, arguments.rate, arguments.seconds))
    report(arguments, measured[2], measured[0])


if __name__ == "__main__":
    main()
