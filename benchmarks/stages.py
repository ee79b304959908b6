"""The relay's time, stage by stage, with the work that no program can avoid.

    python benchmarks/stages.py [--events 20000] [--concurrency 16] [-- RELAY OPTION …]

Each stage is a separate process. A run without events measures the start-up, which is subtracted from the others.
The endpoint is a Python process of this benchmark. It takes a share of the processor, so the rates are lower than
with nginx (`peers.py`).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from bench_lab import (
    ORGANIZATION,
    Usage,
    apply,
    event,
    machine,
    relay_command,
    run,
    table,
    write_events,
    write_key,
)
from faulty_endpoint import running
from hookline.observe.log import Log
from hookline.relay.ingest.batch import IngestContext, build_batch
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.open import open_sources
from hookline.state.store import Snapshot, Stored

GROUP = 500  # lines per synced write


def decode(path: Path) -> None:
    """The limit of reading: decode every line and discard it."""
    with path.open("rb") as file:
        for line in file:
            msgspec.json.decode(line)


def read_and_route(path: Path) -> None:
    """The reader's stage alone: source, format, route, payload and ids. Nothing is stored."""
    document = {
        "version": 1, "organization": ORGANIZATION, "sandbox": "prod", "name": "bench", "channels": ["email"],
        "url": "https://localhost/feedback", "campaigns": "all",
    }  # fmt: skip
    stored = Stored.of(document)
    snapshot = Snapshot(lineage="bench", serial=1, webhooks={stored.webhook.address: stored})
    context = IngestContext(routes=Routes.from_snapshot(snapshot), defaults=Defaults())
    log = Log(sys.stderr.write, level="warning", format="text", clock=time.time)
    with closing(open_sources([str(path)], (), follow=False, logger=log)) as source:
        end = False
        while not end:
            batch = source.read()
            build_batch(batch, context)
            end = batch.end


def copy(path: Path) -> None:
    """The limit of storing: append the lines to another file, in synced groups."""
    with path.open("rb") as file, path.with_suffix(".copy").open("wb") as target:
        for lines in groups(file):
            target.writelines(lines)
            target.flush()
            os.fdatasync(target.fileno())


def groups(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    for line in lines:
        group.append(line)
        if len(group) == GROUP:
            yield group
            group = []
    yield group


def here(work: Callable[[Path], None], path: Path) -> Usage:
    """The resource usage of a function in this process."""
    begin, processor = time.perf_counter(), time.process_time()
    work(path)
    return Usage(0, time.perf_counter() - begin, time.process_time() - processor, 0)


def measure(number: int, concurrency: int, options: tuple[str, ...], directory: Path) -> dict[str, Usage]:
    """The rows of the table, in order; the first is the start-up."""
    write_events(directory / "events", map(event, range(number)))
    write_events(directory / "none", ())
    write_key(directory)
    rows = {}
    with running(directory / "endpoint") as endpoint:
        webhook = {"url": f"https://localhost:{endpoint.port}/feedback", "delivery": {"concurrency": concurrency}}

        def relay(*more: str, codes: tuple[int, ...] = (0,)) -> Usage:
            return run(relay_command(endpoint.ca_file, *options, *more), directory, codes=codes)

        apply(directory, [webhook])
        rows["start-up, no event"] = relay("none")
        rows["limit: decode each line"] = here(decode, directory / "events")
        rows["reader: read and route"] = here(read_and_route, directory / "events")
        rows["read and route (dry run)"] = relay("--dry-run", "events")
        rows[f"limit: append, synced each {GROUP}"] = here(copy, directory / "events")
        apply(directory, [{**webhook, "enabled": False}])
        rows["read into the spool"] = relay("events", codes=(4,))
        apply(directory, [webhook])
        rows["deliver from the spool"] = relay("--drain")
        rows["read and deliver"] = relay("--spool", "another", "events")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("relay", nargs="*", metavar="RELAY OPTION")
    arguments = parser.parse_args()
    number = arguments.events
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        rows = measure(number, arguments.concurrency, tuple(arguments.relay), Path(name))
    started = rows.pop("start-up, no event")
    print(f"{number} events of 662 bytes, concurrency {arguments.concurrency}; {machine()}")
    print(f"start-up, no event: {started.seconds:.2f} s, {started.processor:.2f} s of processor time")
    lines = []
    for label, row in rows.items():
        off = Usage(0, 0, 0, 0) if label.startswith(("limit", "reader")) else started
        seconds, processor = row.seconds - off.seconds, row.processor - off.processor
        lines.append((label, f"{number / seconds:,.0f}", f"{processor / number * 1e6:.1f}", f"{row.mebibytes:.0f}"))
    print(table(("", "events/s", "CPU µs/event", "MiB"), lines))


if __name__ == "__main__":
    main()
