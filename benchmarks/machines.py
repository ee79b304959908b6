"""A shared spool in PostgreSQL beside the embedded one, several deliverers beside one, and the time of a takeover.

    python benchmarks/machines.py [--events 20000] [--seconds 10] [--rounds 3] [--json FILE]

All processes, nginx and the PostgreSQL server (fsync on) use the cores of this machine.

1. The same file of events to one webhook: embedded spool, shared spool, and shared spool while another session holds
   a snapshot open. The processor time of the shared spool is given for the relay and for the server.
2. One, two and four deliverers, with two endpoints each. An endpoint answers after 20 ms, so its webhook with
   concurrency 16 can receive 800 events/s. The backlog is stored before.
3. Two deliverers, one of which is killed: the time from the kill until its endpoints receive events again.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from bench_lab import HOOKLINE, Process, apply, event, machine, relay_command, run, table, write_events, write_key
from contestants import Course, until_all_are_answered
from debian import ensure_programs, find
from faulty_endpoint import Ledger, running
from nginx import Nginx
from postgres_server import SETTINGS, Server, running_server
from processor_time import parent_of, seconds_of_family
from results import Results

CONCURRENCY: Final = 16
ENDPOINT_SECONDS: Final = 0.020
ENDPOINTS_OF_A_DELIVERER: Final = 2
DELIVERERS: Final = (1, 2, 4)
LEASE_SECONDS: Final = 10.0
SERVER: Final = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}


class Shared:
    """A database with a new spool, and the state in it."""

    def __init__(self, server: Server, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.server = server
        self.location = server.url(server.new_database())
        command = (*HOOKLINE, "spool", "init", "--lease", f"{lease_seconds:g}s", "--spool", self.location)
        subprocess.run(command, check=True, capture_output=True)

    def server_seconds(self) -> float:
        """The processor time of all processes of the server since its start."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            return seconds_of_family(parent_of(connection.info.backend_pid))

    def log_bytes(self) -> int:
        """The bytes that the server has written to its log (WAL) since it was created."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").fetchone()
        return 0 if row is None else int(row[0])

    def bytes_on_disk(self) -> int:
        with psycopg.connect(self.location, autocommit=True) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return 0 if row is None else int(row[0])


@contextmanager
def held_snapshot(location: str) -> Iterator[None]:
    """Another session holds a snapshot open, as a backup does."""
    with psycopg.connect(location) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


@contextmanager
def sink(directory: Path, sandboxes: Sequence[str], delay_seconds: float) -> Iterator[Nginx]:
    with Nginx.running(find("nginx") or "nginx", directory, delay_seconds=delay_seconds) as nginx:
        write_key(directory)
        apply(directory, [
            {"sandbox": sandbox, "url": f"https://localhost:{nginx.port}/{sandbox}",
             "delivery": {"concurrency": CONCURRENCY}}
            for sandbox in sandboxes
        ])  # fmt: skip
        yield nginx


def delivered(course: Course, spool: str, *options: str) -> tuple[float, float]:
    """Relay the events. Returns events per second, and the relay's processor time for an event in microseconds."""
    command = relay_command(course.sink.ca_file, "--spool", spool, *options, str(course.events))
    process = Process(command, course.directory)
    first, last = until_all_are_answered(process, course)
    usage = process.finish()
    if usage.code:
        raise SystemExit(f"exit code {usage.code}\n{process.said()}")
    return course.number / (last - first), usage.processor / course.number * 1e6


def compare_spools(server: Server, events: int, rounds: int, results: Results) -> None:
    """Part 1. The three ways take turns."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for way in ("embedded", "shared", "shared-snapshot"):
            with tempfile.TemporaryDirectory() as name, sink(Path(name), ["prod"], 0.0) as nginx:
                directory = Path(name)
                write_events(directory / "events", map(event, range(events)))
                course = Course(directory=directory, events=directory / "events", number=events,
                                concurrency=CONCURRENCY, sink=nginx)  # fmt: skip
                if way == "embedded":
                    rate, cost = delivered(course, "spool")
                else:
                    shared = Shared(server)
                    before, logged, size = shared.server_seconds(), shared.log_bytes(), shared.bytes_on_disk()
                    with held_snapshot(shared.location if way.endswith("snapshot") else server.url("postgres")):
                        rate, cost = delivered(course, shared.location, "--name", "bench")
                    work = shared.server_seconds() - before
                    figures.setdefault(f"{way}-server-cpu", []).append(work / events * 1e6)
                    figures.setdefault(f"{way}-log", []).append((shared.log_bytes() - logged) / events)
                    figures.setdefault(f"{way}-disk", []).append((shared.bytes_on_disk() - size) / events)
            figures.setdefault(f"{way}-rate", []).append(rate)
            figures.setdefault(f"{way}-cpu", []).append(cost)
            print(f"{way}: {rate:,.0f} events/s, {cost:.0f} µs", flush=True)
    titles = {"embedded": "embedded spool", "shared": "shared spool", "shared-snapshot": "with a snapshot held open"}
    for way, title in titles.items():
        results.add(f"{way}-rate", title, "1/s", figures[f"{way}-rate"])
        results.add(f"{way}-cpu", f"{title}: relay, an event", "µs", figures[f"{way}-cpu"])
    for way in ("shared", "shared-snapshot"):
        title = titles[way]
        results.add(f"{way}-server-cpu", f"{title}: server, an event", "µs", figures[f"{way}-server-cpu"])
        results.add(f"{way}-log", f"{title}: log of the server (WAL), an event", "bytes", figures[f"{way}-log"])
        results.add(f"{way}-disk", f"{title}: growth of the database, an event", "bytes", figures[f"{way}-disk"])
    ratio(results, "shared-to-embedded", "shared ÷ embedded, rate", figures["shared-rate"], figures["embedded-rate"])
    ratio(results, "snapshot-to-shared", "snapshot held open ÷ not, rate", figures["shared-snapshot-rate"],
          figures["shared-rate"])  # fmt: skip


def ratio(results: Results, measure: str, title: str, above: Sequence[float], below: Sequence[float]) -> None:
    results.add(measure, title, "", [one / other for one, other in zip(above, below, strict=True)])


def rate_of_deliverers(server: Server, deliverers: int, seconds: float) -> float:
    """Part 2: events per second with endpoints of 20 ms, in the middle of a run."""
    sandboxes = [f"box-{n}" for n in range(deliverers * ENDPOINTS_OF_A_DELIVERER)]
    most = int(len(sandboxes) * CONCURRENCY / ENDPOINT_SECONDS * (seconds + 6))
    shared = Shared(server)
    with tempfile.TemporaryDirectory() as name, sink(Path(name), sandboxes, ENDPOINT_SECONDS) as nginx:
        directory = Path(name)
        write_events(directory / "events", (event(n, sandbox=sandboxes[n % len(sandboxes)]) for n in range(most)))
        fill(directory, nginx, shared, most)
        command = deliver_command(nginx, shared)
        processes = [Process(command, directory) for _ in range(deliverers)]
        while nginx.answered() < 100 * deliverers:
            time.sleep(0.1)
        time.sleep(3.0)  # the slots are distributed
        first, begin = nginx.answered(), time.perf_counter()
        time.sleep(seconds)
        rate = (nginx.answered() - first) / (time.perf_counter() - begin)
        for process in processes:
            process.end()
    print(f"{deliverers} deliverers: {rate:,.0f} events/s", flush=True)
    return rate


def fill(directory: Path, nginx: Nginx, shared: Shared, events: int) -> None:
    """Store a backlog, while all webhooks are paused."""
    for sandbox in {path.stem for path in (directory / "webhooks").iterdir()}:
        run((*HOOKLINE, "pause", f"bench@AdobeOrg/{sandbox}", "--spool", shared.location), directory)
    options = ("--spool", shared.location, "--name", "fill", "--spool-max", str(events + 1), "events")
    run(relay_command(nginx.ca_file, *options), directory, codes=(4,))
    for sandbox in {path.stem for path in (directory / "webhooks").iterdir()}:
        run((*HOOKLINE, "resume", f"bench@AdobeOrg/{sandbox}", "--spool", shared.location), directory)


def deliver_command(nginx: Nginx, shared: Shared) -> tuple[str, ...]:
    command = relay_command(nginx.ca_file, "--spool", shared.location)
    return tuple("deliver" if part == "relay" else part for part in command)


def takeover_seconds(server: Server) -> float:
    """Part 3: from SIGKILL until every endpoint of the killed process receives an event again."""
    shared = Shared(server)
    sandboxes = [f"box-{n}" for n in range(8)]
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "endpoint") as endpoint:
        directory = Path(name)
        write_key(directory)
        apply(directory, [
            {"sandbox": box, "url": f"https://localhost:{endpoint.port}/{box}", "delivery": {"rateLimit": "20/s"}}
            for box in sandboxes
        ])  # fmt: skip
        write_events(directory / "events", (event(n, sandbox=sandboxes[n % 8]) for n in range(12_000)))
        options = ("--spool", shared.location, "--name", "fill", "--spool-max", "20000")
        reader = Process(relay_command(endpoint.ca_file, "--max-wait", "1s", *options, "events"), directory)
        reader.finish()
        command = tuple("deliver" if part == "relay" else part
                        for part in relay_command(endpoint.ca_file, "--spool", shared.location))  # fmt: skip
        processes = [Process(command, directory) for _ in range(2)]
        time.sleep(6.0)
        ledger = Ledger(endpoint.ledger)
        tuple(ledger.news())
        processes[0].popen.send_signal(signal.SIGKILL)
        killed, latest = time.time_ns(), dict.fromkeys(sandboxes, 0)
        gaps = dict.fromkeys(sandboxes, 0.0)
        while time.time_ns() < killed + int((LEASE_SECONDS + 4) * 1e9):
            for entry in ledger.news():
                box = entry.path.strip("/")
                gaps[box] = max(gaps[box], (entry.time - (latest[box] or killed)) / 1e9)
                latest[box] = entry.time
            time.sleep(0.02)
        for process in processes:
            process.end()
    print(f"takeover: {max(gaps.values()):.1f} s", flush=True)
    return max(gaps.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run with deliverers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    if "nginx" not in ensure_programs(["nginx"]):
        raise SystemExit("nginx is missing: apt-get install nginx-light libnginx-mod-http-echo")
    SETTINGS.update(SERVER)
    results = Results(benchmark="machines", parameters={"events": given.events, "rounds": given.rounds})
    print(f"{machine()}: {given.events:,} events, {given.rounds} rounds")
    with running_server() as server:
        compare_spools(server, given.events, given.rounds, results)
        rates: dict[int, list[float]] = {number: [] for number in DELIVERERS}
        for _ in range(given.rounds):
            for number in DELIVERERS:
                rates[number].append(rate_of_deliverers(server, number, given.seconds))
        for number, found in rates.items():
            results.add(f"deliverers-{number}", f"{number} deliverers, endpoints of 20 ms", "1/s", found)
        for number in DELIVERERS[1:]:
            ratio(results, f"deliverers-{number}-to-1", f"{number} deliverers ÷ 1, rate", rates[number], rates[1])
        takeovers = [takeover_seconds(server) for _ in range(given.rounds)]
        results.add("takeover", "takeover after SIGKILL, lease 10 s", "s", takeovers)
    rows = ((row.title, f"{statistics.median(row.rounds):,.2f} {row.unit}") for row in results.rows)
    print(table(("", "median"), rows))
    results.write(given.json)


if __name__ == "__main__":
    main()
