"""The cost of a relay that has nothing to do: processor time and wake-ups, with fifty webhooks.

    python benchmarks/idle.py [--webhooks 50] [--seconds 20] [--runs 3] [--json FILE] [-- RELAY OPTION …]

Every webhook gets one event at the start, so that each has a lane that was used, and a connection. Then the input is
silent: a file that is followed, or a pipe whose writer writes nothing. The endpoint closes its connections after that
event, so that nothing but the relay's own timers can wake it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench_lab import Process, apply, event, machine, relay_command, table, write_key
from faulty_endpoint import Endpoint, Ledger, running
from processor_time import work_of

IDLE_LIMIT: Final = 0.3  # percent of a core
SETTLE_SECONDS: Final = 8.0  # from the last request to the measurement
MAX_START_SECONDS: Final = 60.0
INPUTS: Final = ("file", "pipe")


@dataclass(frozen=True, slots=True)
class Idle:
    """One measurement. `input` is one of INPUTS."""

    input: str
    webhooks: int
    seconds: float
    processor_percent: float
    wakeups_per_second: float


def measure(input_kind: str, webhooks: int, seconds: float, options: list[str], endpoint: Endpoint) -> Idle:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        url = f"https://localhost:{endpoint.port}/as/accept-close"
        write_key(directory)
        apply(directory, [{"sandbox": f"box-{number}", "url": url} for number in range(webhooks)])
        events = b"".join(event(number, sandbox=f"box-{number}") for number in range(webhooks))
        (directory / "log").write_bytes(events if input_kind == "file" else b"")
        source = ("--follow", "log") if input_kind == "file" else ("-",)
        ledger = Ledger(endpoint.ledger)
        tuple(ledger.news())
        relay = Process(
            relay_command(endpoint.ca_file, "--grace", "0s", *options, *source), directory, stdin=subprocess.PIPE
        )
        pipe = relay.popen.stdin
        assert pipe is not None
        try:
            if input_kind == "pipe":
                pipe.write(events)
                pipe.flush()
            answered, deadline = 0, time.monotonic() + MAX_START_SECONDS
            while answered < webhooks:
                if relay.usage(wait=False) is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{answered} of {webhooks} accepted\n{relay.said()}")
                time.sleep(0.1)
                answered += sum(1 for _ in ledger.news())
            time.sleep(SETTLE_SECONDS)
            before, begin = work_of(relay.popen.pid), time.perf_counter()
            time.sleep(seconds)
            used, taken = work_of(relay.popen.pid) - before, time.perf_counter() - begin
        finally:
            relay.end()
            pipe.close()
    return Idle(input_kind, webhooks, taken, 100 * used.seconds / taken, used.wakeups / taken)


def report(measured: list[Idle]) -> None:
    rows = []
    for kind in INPUTS:
        one = [each for each in measured if each.input == kind]
        percent = statistics.median(each.processor_percent for each in one)
        wakeups = statistics.median(each.wakeups_per_second for each in one)
        verdict = "within" if percent <= IDLE_LIMIT else "BEYOND"
        rows.append((f"{kind}, {one[0].webhooks} webhooks", f"{percent:.2f} %", f"{wakeups:.1f}", verdict))
    print(table(("input", "of a core", "wake-ups/s", f"<= {IDLE_LIMIT} %"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--webhooks", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("options", nargs="*", metavar="-- RELAY OPTION")
    given = parser.parse_args()
    print(f"A relay at rest, medians of {given.runs} runs, {machine()}")
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "endpoint") as endpoint:
        measured = [
            measure(kind, given.webhooks, given.seconds, given.options, endpoint)
            for _ in range(given.runs)
            for kind in INPUTS
        ]
    report(measured)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(one) for one in measured], indent=1) + "\n")


if __name__ == "__main__":
    main()
