"""The time from a written line to its POST: a followed file at 5 and 500 events/s, and a pipe at 5,000 events/s.

    python benchmarks/follow.py [--seconds 10] [--runs 3] [--json FILE] [-- RELAY OPTION …]

A writer appends each line at its time, which it writes into the line. The endpoint records when the request arrives.
At 5,000 events/s the lines of a millisecond are written together. The processor time is that of the relay from the
first line to the last request, divided by the events.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench_lab import Process, apply, event, machine, relay_command, table, write_key
from faulty_endpoint import Endpoint, Entry, Ledger, running
from processor_time import work_of

STEP_SECONDS: Final = 0.001  # between two looks of the writer at the clock
MAX_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One input at one rate (events per second), with its limits. `input` is ``file`` or ``pipe``."""

    input: str
    rate: float
    median_limit: float  # milliseconds
    p99_limit: float
    processor_limit: float | None = None  # microseconds

    @property
    def name(self) -> str:
        return f"{'--follow' if self.input == 'file' else 'pipe'}, {self.rate:,.0f}/s"


CASES: Final = (Case("file", 5, 5, 25), Case("file", 500, 5, 25, 250), Case("pipe", 5_000, 2, 25))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a case. `milliseconds` are the sorted times of all events."""

    input: str
    rate: float
    processor_microseconds: float
    milliseconds: list[float]

    def quantile(self, share: float) -> float:
        return self.milliseconds[min(int(len(self.milliseconds) * share), len(self.milliseconds) - 1)]


class Scene:
    """One relay with its input."""

    def __init__(self, directory: Path, input_kind: str, options: list[str], endpoint: Endpoint) -> None:
        write_key(directory)
        apply(directory, [{"url": f"https://localhost:{endpoint.port}/feedback"}])
        log = directory / "log"
        log.touch()
        source = ("--follow", "log") if input_kind == "file" else ("-",)
        command = relay_command(endpoint.ca_file, "--grace", "0s", *options, *source)
        self.relay = Process(command, directory, stdin=subprocess.PIPE)
        pipe = self.relay.popen.stdin
        assert pipe is not None
        self._pipe = pipe
        self._output = pipe.fileno() if input_kind == "pipe" else os.open(log, os.O_WRONLY | os.O_APPEND)
        self._ledger = Ledger(endpoint.ledger)
        tuple(self._ledger.news())

    def write(self, begin: int, end: int) -> None:
        """Write the events with these numbers, with the time of the write."""
        now = str(time.time_ns())
        data = b"".join(event(number, request_id=now) for number in range(begin, end))
        while data:
            data = data[os.write(self._output, data) :]

    def answered(self, events: int) -> list[Entry]:
        """Wait until the endpoint has accepted `events` requests since the last call."""
        entries, deadline = list[Entry](), time.monotonic() + MAX_WAIT_SECONDS
        while len(entries) < events:
            if self.relay.usage(wait=False) is not None or time.monotonic() > deadline:
                raise SystemExit(f"{len(entries)} of {events} accepted\n{self.relay.said()}")
            time.sleep(0.05)
            entries += self._ledger.news()
        return entries

    def close(self) -> None:
        self.relay.end()
        if self._output != self._pipe.fileno():
            os.close(self._output)
        self._pipe.close()


def measure(case: Case, seconds: float, options: list[str], endpoint: Endpoint) -> Run:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory), case.input, options, endpoint)
        try:
            scene.write(0, 1)
            scene.answered(1)
            time.sleep(1.0)
            before, begin = work_of(scene.relay.popen.pid), time.perf_counter()
            written, total = 0, int(case.rate * seconds)
            while written < total:
                due = min(total, int((time.perf_counter() - begin) * case.rate))
                if due > written:
                    scene.write(written + 1, due + 1)
                    written = due
                time.sleep(STEP_SECONDS)
            entries = scene.answered(total)
            used = work_of(scene.relay.popen.pid) - before
        finally:
            scene.close()
    taken = sorted((entry.time - int(entry.request_id)) / 1e6 for entry in entries)
    return Run(case.input, case.rate, used.seconds / total * 1e6, taken)


def _judged(value: float, limit: float | None) -> str:
    return f"{value:,.1f}" if limit is None else f"{value:,.1f} {'<=' if value <= limit else '>'} {limit:g}"


def report(measured: dict[Case, list[Run]]) -> None:
    rows = []
    for case, runs in measured.items():
        median, p99 = (statistics.median(run.quantile(share) for run in runs) for share in (0.5, 0.99))
        processor = statistics.median(run.processor_microseconds for run in runs)
        rows.append(
            (
                case.name,
                _judged(median, case.median_limit),
                _judged(p99, case.p99_limit),
                _judged(processor, case.processor_limit),
            )
        )
    print(table(("", "median, ms", "p99, ms", "CPU µs/event"), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("options", nargs="*", metavar="-- RELAY OPTION")
    given = parser.parse_args()
    print(f"From a written line to its POST, medians of {given.runs} runs, {machine()}")
    measured: dict[Case, list[Run]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as directory, running(Path(directory) / "endpoint") as endpoint:
        for _ in range(given.runs):
            for case, runs in measured.items():
                runs.append(measure(case, given.seconds, given.options, endpoint))
    report(measured)
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(run) for runs in measured.values() for run in runs]) + "\n")


if __name__ == "__main__":
    main()
