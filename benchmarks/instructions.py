"""The processor instructions that the relay executes for an event, and a gate against regressions.

    python benchmarks/instructions.py [--record] [--events 2000] [--runs N] [--profile FILE] [--json FILE]

Valgrind's callgrind counts the relay's process: its real pipeline, from a pipe to a local endpoint in another
process. The start is not counted: counting begins when 400 events are delivered, and ends after the next 2,000.
Another machine with the same versions counts the same, so a count can be compared with one of last month. Other load
adds instructions: groups of outcomes are smaller when the endpoint has to wait for a core. The lowest of several runs
is therefore the figure.

benchmarks/instructions.json has a count for each combination of versions; `--record` measures and writes that of this
machine. Without it, the exit code is 1 if the lowest of three runs is more than 5 % above the recorded count.
`--profile` keeps callgrind's data of the last run for callgrind_annotate.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from bench_lab import apply, event, relay_command, write_key
from debian import ensure_programs
from faulty_endpoint import Endpoint, Ledger, running
from results import Results

RECORDS: Final = Path(__file__).with_name("instructions.json")
TOLERANCE: Final = 0.05
EVENTS: Final = 2_000  # of a count that is recorded or compared
WARM_UP_EVENTS: Final = 400
CONCURRENCY: Final = 4  # few connections, so that all are open after the warm-up: a handshake costs as much as events
RUNS: Final = 3
RECORDED_RUNS: Final = 5
SETTLE_SECONDS: Final = 3.0  # for the outcomes of the last events, at the speed of valgrind
MAX_WAIT_SECONDS: Final = 600.0
TOTAL: Final = re.compile(r"Collected : (\d+)")


def versions() -> str:
    """The versions that decide about the count: two machines with the same ones can be compared."""
    python = f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}"
    return f"{python}, SQLite {sqlite3.sqlite_version}, OpenSSL {ssl.OPENSSL_VERSION.split()[1]}"


class CountedRelay:
    """A relay below valgrind that reads a pipe. It counts nothing until `count` is called."""

    def __init__(self, directory: Path, endpoint: Endpoint, profile: Path) -> None:
        self._ledger = Ledger(endpoint.ledger)
        tuple(self._ledger.news())
        self._control = f"--vgdb-prefix={directory}/control"  # the pipes by which vgdb reaches this process
        # The endpoint goes first, so the relay never waits for it because of other work on the machine.
        counter = ("nice", "valgrind", "--tool=callgrind", "--instr-atstart=no", self._control)
        command = relay_command(endpoint.ca_file, "--spool", "spool", "-")
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            (*counter, f"--callgrind-out-file={profile}", *command),
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._pipe: IO[bytes] = self._process.stdin

    def deliver(self, numbers: range) -> None:
        """Write these events and wait until the endpoint has accepted all of them and the relay is at rest."""
        self._pipe.write(b"".join(map(event, numbers)))
        self._pipe.flush()
        accepted, deadline = 0, time.monotonic() + MAX_WAIT_SECONDS
        while accepted < len(numbers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{accepted} of {len(numbers)} accepted\n{self._errors()}")
            time.sleep(0.05)
            accepted += sum(one.accepted for one in self._ledger.news())
        time.sleep(SETTLE_SECONDS)

    def count(self, *, on: bool) -> None:
        command = ("vgdb", self._control, f"--pid={self._process.pid}", "instrumentation", "on" if on else "off")
        run = subprocess.run(command, check=False, capture_output=True, text=True)
        if run.returncode:
            self._process.terminate()
            sys.exit(f"vgdb: exit code {run.returncode}\n{run.stderr}")

    def finish(self) -> int:
        """End the input, wait for the end of the relay, and return the number of counted instructions."""
        self._pipe.close()
        errors = self._errors()
        found = TOTAL.search(errors)
        if self._process.wait() or found is None:
            sys.exit(f"exit code {self._process.returncode}\n{errors}")
        return int(found[1])

    def _errors(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().decode(errors="replace")


def counts(events: int, runs: int, profile: Path | None) -> Iterator[float]:
    """The instructions for an event, of each run."""
    with (
        tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name,
        running(Path(name) / "endpoint") as endpoint,
    ):
        for number in range(runs):
            own = Path(name) / str(number)
            own.mkdir()
            write_key(own)
            url = f"https://localhost:{endpoint.port}/feedback"
            apply(own, [{"url": url, "delivery": {"concurrency": CONCURRENCY}}])
            relay = CountedRelay(own, endpoint, (profile or own / "callgrind.out").absolute())
            relay.deliver(range(WARM_UP_EVENTS))
            relay.count(on=True)
            relay.deliver(range(WARM_UP_EVENTS, WARM_UP_EVENTS + events))
            relay.count(on=False)
            count = relay.finish() / events
            print(f"run {number + 1}: {count:,.0f} instructions for an event", flush=True)
            yield count


def record(found: list[float]) -> None:
    """Write the lowest of the runs as the count of these versions."""
    known: dict[str, dict[str, object]] = msgspec.json.decode(RECORDS.read_bytes()) if RECORDS.exists() else {}
    known[versions()] = {"instructions": round(min(found)), "runs": [round(one) for one in found]}
    ordered = msgspec.json.encode(dict(sorted(known.items())))
    RECORDS.write_bytes(msgspec.json.format(ordered, indent=1) + b"\n")
    print(f"recorded for {versions()}")


def recorded() -> float | None:
    """The recorded count for these versions."""
    known = msgspec.json.decode(RECORDS.read_bytes()) if RECORDS.exists() else {}
    entry = known.get(versions())
    return None if entry is None else float(entry["instructions"])


def verdict(count: float, before: float | None) -> tuple[int, str]:
    """The exit code and the message for a count beside the recorded one."""
    if before is None:
        return 0, f"no count is recorded for {versions()}; record it with: make instructions RECORD=1"
    change = count / before - 1
    text = f"{count:,.0f} instructions for an event, recorded {before:,.0f}: {change:+.1%}"
    if change > TOLERANCE:
        return (
            1,
            f"{text}, more than {TOLERANCE:.0%}. If the cost has its reason, record it: make instructions RECORD=1",
        )
    if change < -TOLERANCE:
        return 0, f"{text}. Record it, so that it stays: make instructions RECORD=1"
    return 0, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the count of this machine's versions")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--runs", type=int, default=0, help=f"default: {RUNS}, or {RECORDED_RUNS} with --record")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="keep callgrind's data of the last run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    given = parser.parse_args()
    if "valgrind" not in ensure_programs(("valgrind",)):
        print("No valgrind: nothing is counted.")
        return 0
    runs = given.runs or (RECORDED_RUNS if given.record else RUNS)
    results = Results(benchmark="instructions", parameters={"events": given.events, "runs": runs})
    if given.record and given.events != EVENTS:
        parser.error(f"a recorded count is one of {EVENTS} events")
    before, found = recorded(), list[float]()
    for count in counts(given.events, runs, given.profile):
        found.append(count)
        if not (given.record or given.json or before is None) and count <= before * (1 + TOLERANCE):
            break  # a regression must show in every run
    spread = (max(found) - min(found)) / min(found)
    print(f"{len(found)} runs, {spread:.1%} between the lowest and the highest")
    results.add("instructions", "relay's process", "instructions", found)
    results.write(given.json)
    if given.record:
        record(found)
        return 0
    if given.events != EVENTS:
        print(f"not compared: the recorded counts are those of {EVENTS} events")
        return 0
    code, message = verdict(min(found), before)
    print(message)
    return 0 if given.json else code  # `make bench` reports; the gate is `make instructions`


if __name__ == "__main__":
    sys.exit(main())
