"""The cost of a million pending deliveries: memory, start-up, and the time of the operators' commands.

    python benchmarks/backlog.py [--deliveries 1000000] [--dead 10000] [--seconds 20] [--json FILE] [-- OPTION …]

The benchmark fills the spool behind a disabled webhook. Some lines among the events cannot be read and become dead
letters. Then it times the commands and starts a relay three times, each for `--seconds`: with an endpoint that
refuses connections, with one that answers 500, and with one that accepts. Memory is the largest resident set of the
relay's largest process. Start-up is the time from the start of the process to its first request.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench_lab import HOOKLINE, Process, apply, event, machine, relay_command, run, table, write_events, write_key
from contestants import spool_size
from faulty_endpoint import Endpoint, Ledger, running
from results import Results, slug

MEMORY_LIMIT: Final = 200.0  # MiB
START_LIMIT: Final = 5.0  # seconds
ANSWER_LIMIT: Final = 2.0  # seconds
REPEATS: Final = 3
NOBODY_LISTENS: Final = "https://localhost:1/"
COMMANDS: Final[dict[str, tuple[str, ...]]] = {
    "status": ("status",),
    "dead list": ("dead", "list"),
    "list": ("list",),
    "plan": ("plan",),
}
LIMITED: Final = ("status", "dead list")


@dataclass(slots=True)
class Rows:
    """The rows of the table so far."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    values: dict[str, tuple[float, str]] = field(default_factory=dict)  # by what was measured, with the unit

    def add(self, what: str, value: float, unit: str, limit: float | None = None) -> None:
        self.values[what] = value, unit
        digits = 2 if unit == "s" else 0
        judged = "" if limit is None else f"{'within' if value < limit else 'BEYOND'} {limit:g} {unit}"
        self.lines.append((what, f"{value:,.{digits}f} {unit}", judged))
        print(" ".join(self.lines[-1]), flush=True)


def lines(deliveries: int, dead: int) -> Iterator[bytes]:
    """The events, with an unreadable line at even distances."""
    every = deliveries // dead if dead else 0
    for number in range(deliveries):
        yield event(number)
        if every and number % every == every - 1:
            yield b'{"broken": \n'


@dataclass(frozen=True, slots=True)
class Scene:
    directory: Path
    endpoint: Endpoint
    options: tuple[str, ...]

    def url(self, path: str) -> str:
        return f"https://localhost:{self.endpoint.port}{path}"

    def apply(self, url: str, **fields: Any) -> None:
        apply(self.directory, [{"url": url, **fields}])

    def command(self, *options: str) -> tuple[str, ...]:
        return relay_command(self.endpoint.ca_file, "--grace", "2s", *self.options, *options)


def fill(scene: Scene, rows: Rows, deliveries: int, dead: int) -> None:
    write_events(scene.directory / "events", lines(deliveries, dead))
    scene.apply(scene.url("/feedback"), enabled=False)
    # 4: stopped while deliveries are pending. It does not wait for disabled webhooks.
    usage = run(scene.command("--spool-max", str(deliveries + 1), "events"), scene.directory, codes=(4,))
    size = spool_size(scene.directory / ".hookline/spool")
    rows.add("fill: events/s", deliveries / usage.seconds, "/s")
    rows.add("fill: memory", usage.mebibytes, "MiB", MEMORY_LIMIT)
    rows.add("fill: spool on the disk, a delivery", size / deliveries, "bytes")


def ask(scene: Scene, rows: Rows, when: str) -> None:
    """Time the commands. The slowest of a few runs counts, because a user waits for that one too."""
    known = subprocess.run((*HOOKLINE, "--help"), capture_output=True, text=True, check=True).stdout
    for name, command in COMMANDS.items():
        if f"  {command[0]} " not in known:
            print(f"This hookline has no command {name!r}: not measured.")
            continue
        slowest = max(run((*HOOKLINE, *command), scene.directory).seconds for _ in range(REPEATS))
        rows.add(f"{when}: {name}", slowest, "s", ANSWER_LIMIT if name in LIMITED else None)


def first_request(relay: Process, ledger: Ledger, seconds: float) -> float | None:
    """Seconds from the start of the process to its first request; None if no request arrives in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and relay.usage(wait=False) is None:
        if any(ledger.news()):
            return time.perf_counter() - relay.started
        time.sleep(0.01)
    return None


def run_for(scene: Scene, rows: Rows, what: str, url: str, seconds: float, *, questions: bool = False) -> None:
    """Run one relay on the backlog for `seconds`, with the endpoint at `url`."""
    ledger = Ledger(scene.endpoint.ledger)
    tuple(ledger.news())
    scene.apply(url)
    relay = Process(scene.command("--drain", "--max-wait", "1h"), scene.directory)
    begin = time.monotonic()
    if url != NOBODY_LISTENS:
        started = first_request(relay, ledger, 60)
        if started is None:
            raise SystemExit(f"{what}: no request within a minute\n{relay.said()}")
        rows.add(f"{what}: start-up to the first request", started, "s", START_LIMIT)
        begin = time.monotonic()
    if questions:
        ask(scene, rows, what)
    time.sleep(max(0.0, begin + seconds - time.monotonic()))
    accepted = sum(entry.accepted for entry in ledger.news())
    ran = time.monotonic() - begin
    usage = relay.end()
    if usage.code not in (0, 4):
        raise SystemExit(f"{what}: exit code {usage.code}\n{relay.said()}")
    if accepted:
        rows.add(f"{what}: accepted", accepted / ran, "/s")
    rows.add(f"{what}: memory", usage.mebibytes, "MiB", MEMORY_LIMIT)


def measure(deliveries: int, dead: int, seconds: float, options: Sequence[str], directory: Path) -> Rows:
    rows = Rows()
    with running(directory / "endpoint") as endpoint:
        scene = Scene(directory, endpoint, tuple(options))
        write_key(directory)
        fill(scene, rows, deliveries, dead)
        ask(scene, rows, "at rest")
        run_for(scene, rows, "endpoint refuses", NOBODY_LISTENS, seconds)
        run_for(scene, rows, "endpoint answers 500", scene.url("/as/error"), seconds)
        run_for(scene, rows, "draining", scene.url("/feedback"), seconds, questions=True)
    return rows


def fill_results(results: Results, rows: Rows) -> None:
    """Add each measurement as a row, and the largest memory of all runs."""
    for what, (value, unit) in rows.values.items():
        results.add(slug(what), what, "1/s" if unit == "/s" else unit, [value])
    most = max(value for what, (value, _) in rows.values.items() if what.endswith(": memory"))
    results.add("memory-most", "memory, the largest of all runs", "MiB", [most])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deliveries", type=int, default=1_000_000)
    parser.add_argument("--dead", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    arguments = parser.parse_args()
    results = Results(benchmark="backlog")
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        rows = measure(arguments.deliveries, arguments.dead, arguments.seconds, arguments.relay, Path(name))
    print(f"{arguments.deliveries} waiting deliveries, {arguments.dead} dead letters; {machine()}")
    print(table(("", "measured", "limit"), rows.lines))
    results.parameters = {"deliveries": arguments.deliveries, "dead letters": arguments.dead}
    fill_results(results, rows)
    results.write(arguments.json)


if __name__ == "__main__":
    main()
