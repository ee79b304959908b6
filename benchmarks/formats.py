"""The cost of recognizing a line and mapping it to an event, in addition to parsing it.

    python benchmarks/formats.py [LINES]

The lines are those of tests/cases, from the documentation of the providers. The figures are microseconds per line:
the median over the lines of a format, each the best of several runs. The columns are parsing alone, which is the
floor; the cost that `--format auto` and the named format add; and the cost of routing, payload and ids. Then one
pass reads a mixed log, with a line of each format in turn, and accounts for every line. The target for recognizing
and mapping is 30 µs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

from hookline.relay.delivery_record import Line
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.json_decoding import decode_json
from hookline.relay.formats.line_reader import read_line
from hookline.relay.formats.registry import FORMATS
from hookline.relay.ingest.batch import IngestContext, build_batch, route_line
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.source import Batch, Position
from hookline.state.store import Snapshot, Stored

CASES = Path(__file__).parents[1] / "tests" / "cases"
BATCH, REPEATS, LOOPS = 500, 7, 20
TARGET = 30.0
WEBHOOK = Stored.of({
    "version": 1, "organization": "ACME@AdobeOrg", "sandbox": "prod", "name": "bench", "channels": ["email", "sms"],
    "url": "https://hooks.acme.example/feedback", "campaigns": "all",
})  # fmt: skip
ROUTES = Routes.from_snapshot(Snapshot(lineage="bench", serial=1, webhooks={WEBHOOK.webhook.address: WEBHOOK}))
DEFAULTS = Defaults(organization="ACME@AdobeOrg", sandbox="prod", mapping=FieldMapping(clock=time.time))
AUTO = IngestContext(routes=ROUTES, defaults=DEFAULTS)


def lines_of(name: str) -> list[Line]:
    """The lines in a format's cases that hold events."""
    own = {"payload": "relay/payload-lines", "xdm": "relay/dataset-events"}
    folders = CASES.glob(f"{own[name]}/input.ndjson" if name in own else f"formats/{name}/*/input.ndjson")
    placed = (path.read_bytes().replace(b"1234567890ABCDEF@", b"ACME@") for path in sorted(folders))
    lines = [Line(1, data, len(data)) for text in placed for data in text.splitlines()]
    return [line for line in lines if any(isinstance(one, Event) for one in read_line(line, name, DEFAULTS.mapping))]


def microseconds(call: Callable[[], object]) -> float:
    """The fastest of several runs, in microseconds."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter_ns()
        for _ in range(LOOPS):
            call()
        best = min(best, (time.perf_counter_ns() - started) / LOOPS / 1000)
    return best


def costs(name: str, line: Line) -> tuple[float, float, float, float]:
    """The costs of parsing, of `auto`, of the named format and of routing, in microseconds per line."""
    mapping = DEFAULTS.mapping
    parsing = microseconds(lambda: decode_json(line.data))
    auto = microseconds(lambda: read_line(line, "auto", mapping))
    named = microseconds(lambda: read_line(line, name, mapping))
    routed = microseconds(lambda: route_line(line, AUTO))
    return parsing, auto - parsing, named - parsing, routed - auto


def batches(lines: list[Line], number: int) -> Iterator[Batch]:
    numbered = (Line(n, line.data, line.length) for n, line in enumerate(islice(cycle(lines), number), 1))
    while batch := list(islice(numbered, BATCH)):
        yield Batch("log", batch, Position(name="log"), False)


def mixed(number: int) -> list[Line]:
    """All lines of all cases, with a line of each format in turn; lines without an event are included."""
    by_format = [sorted((CASES / "formats" / name).glob("*/input.ndjson")) for name in FORMATS]
    by_format += [
        [CASES / "relay" / "payload-lines" / "input.ndjson", CASES / "relay" / "dataset-events" / "input.ndjson"]
    ]
    every = [[data for path in paths for data in path.read_bytes().splitlines()] for paths in by_format if paths]
    turns = zip(*(islice(cycle(lines), max(map(len, every))) for lines in every), strict=True)
    return [Line(0, data, len(data)) for turn in turns for data in turn][:number]


def main(number: int = 100_000) -> None:
    print("µs a line")
    print(f"{'format':<12} {'lines':>5} {'bytes':>6} {'parse':>7} {'+ auto':>7} {'+ named':>8} {'+ route':>8}")
    added = []
    for name in FORMATS:
        lines = lines_of(name)
        if not lines:
            continue  # dead letters: no provider documents them
        found = [costs(name, line) for line in lines]
        parsing, auto, named, routed = (median(column) for column in zip(*found, strict=True))
        added += [each[1] for each in found]
        size = median(line.length for line in lines)
        print(f"{name:<12} {len(lines):>5} {size:>6.0f} {parsing:>7.1f} {auto:>7.1f} {named:>8.1f} {routed:>8.1f}")
    print(f"recognizing and mapping, median of all lines: {median(added):.1f} µs (target: {TARGET:.0f})")

    lines, read, settled = mixed(number), 0, 0
    started = time.perf_counter()
    for batch in batches(lines, number):
        intake, taken = build_batch(batch, AUTO)
        assert taken == len(batch.lines)
        read += intake.read
        settled += len(intake.deliveries) + sum(intake.skipped.values()) + len(intake.rejected)
    seconds = time.perf_counter() - started
    print(f"mixed log, auto: {number:,} lines, {read:,} events, {number / seconds:,.0f} lines/s, "
          f"{seconds / number * 1e6:.1f} µs a line with routing, payload and ids")  # fmt: skip
    if read != settled or read < number:
        raise SystemExit(f"not accounted for: {read} events read, {settled} settled, of {number} lines")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
