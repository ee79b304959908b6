"""The cost of following a directory with thousands of logs.

    python benchmarks/many_files.py [--files 10000] [--seconds 20] [-- RELAY OPTION …]

Every log has one event at the start. The benchmark follows their directory with one relay, and measures the time to
the first request, the processor time while no log grows, the time until a new line of one log arrives, and the time
that the relay needs to obey SIGTERM: while it searches for its files, and at rest.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Final

from backlog import Rows, first_request
from bench_lab import Process, apply, event, machine, relay_command, table, write_key
from faulty_endpoint import Endpoint, Ledger, running

FIRST_EVENT_LIMIT: Final = 2.0  # seconds, without the start of the process
IDLE_LIMIT: Final = 2.0  # percent of a core
STOP_LIMIT: Final = 1.0  # seconds
MAX_START_SECONDS: Final = 300.0


def processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stop(relay: Process, rows: Rows, what: str) -> None:
    begin = time.perf_counter()
    usage = relay.end()
    if usage.code not in (0, 4):
        raise SystemExit(f"{what}: exit code {usage.code}\n{relay.said()}")
    rows.add(f"{what}: SIGTERM obeyed after", time.perf_counter() - begin, "s", STOP_LIMIT)


def wait_for(ledger: Ledger, requests: int) -> None:
    deadline = time.monotonic() + MAX_START_SECONDS
    while requests > 0 and time.monotonic() < deadline:
        requests -= sum(1 for _ in ledger.news())
        time.sleep(0.05)
    if requests > 0:
        raise SystemExit(f"{requests} requests are missing")


def measure(files: int, seconds: float, options: list[str], directory: Path, endpoint: Endpoint) -> Rows:
    rows, logs = Rows(), directory / "logs"
    logs.mkdir()
    for number in range(files):
        (logs / f"worker-{number:05}.log").write_bytes(event(number))
    write_key(directory)
    apply(directory, [{"url": f"https://localhost:{endpoint.port}/feedback"}])
    ledger = Ledger(endpoint.ledger)
    command = relay_command(endpoint.ca_file, "--grace", "0s", *options, "--follow", "logs")
    relay = Process(command, directory)
    started = first_request(relay, ledger, MAX_START_SECONDS)
    if started is None:
        raise SystemExit(f"no request\n{relay.said()}")
    rows.add("start of the process to the first request", started, "s", FIRST_EVENT_LIMIT)
    stop(relay, rows, "while files are searched")
    relay = Process(command, directory)
    wait_for(
        ledger, files - 1 - sum(1 for _ in ledger.news()) - 50
    )  # requests in flight at the stop come twice or not
    rows.add("start of the process to the last request", time.perf_counter() - relay.started, "s")
    time.sleep(5.0)
    tuple(ledger.news())
    before = processor_seconds(relay.popen.pid)
    time.sleep(seconds)
    used = processor_seconds(relay.popen.pid) - before
    rows.add("at rest: processor, percent of a core", 100 * used / seconds, "%", IDLE_LIMIT)
    begin = time.perf_counter()
    with (logs / f"worker-{files // 2:05}.log").open("ab") as file:
        file.write(event(files))
    wait_for(ledger, 1)
    rows.add("at rest: a new line arrives after", time.perf_counter() - begin, "s")
    stop(relay, rows, "at rest")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("options", nargs="*", metavar="-- RELAY OPTION")
    given = parser.parse_args()
    print(f"{given.files:,} logs in one directory, {machine()}")
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "endpoint") as endpoint:
        rows = measure(given.files, given.seconds, given.options, Path(directory), endpoint)
    print(table(("", "", "limit"), rows.lines))


if __name__ == "__main__":
    main()
