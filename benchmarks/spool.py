"""The embedded spool alone: processor time, written bytes and file size for an event, and the time of maintenance.

    python benchmarks/spool.py [--events 50000] [--waiting 1500] [--group 64] [--json FILE]

One thread appends batches of 500 events, loads them, and records groups of accepted ones. `--waiting` deliveries
stay pending meanwhile. Then it measures the calls of maintenance, with the limits of the relay.

Times are processor time: they do not include the wait for a sync. Written bytes include those that a checkpoint moves
from the write-ahead log into the database. The file size is that of the database after the last event is delivered.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bench_lab import ORGANIZATION, event, machine, table
from hookline.model import Address
from hookline.relay.delivery.dispatcher import CLEANUP_ROWS
from hookline.relay.delivery.rounds.dead_lettering import DEAD_LETTER_CHUNK
from hookline.relay.delivery_record import Delivery
from hookline.relay.ids import WebhookIds
from hookline.relay.spool.spool_values import (
    DequeueRequest,
    IngestBatch,
    NewDelivery,
    QueuedDelivery,
    Retention,
    Settlement,
    State,
)
from hookline.relay.spool.sqlite.database import DATABASE_FILE
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool
from results import Results, slug

LINES_PER_BATCH: Final = 500
ADDRESS: Final = Address(ORGANIZATION, "prod")
IDS: Final = WebhookIds(str(ADDRESS).encode())
SOURCE: Final = "/var/log/provider/events.ndjson"
NOW: Final = 1_800_000_000.0
FOREVER: Final = Retention(1e9, 10**9)

Seconds = dict[str, list[float]]  # the processor time of each call, by stage


def timed(seconds: Seconds, stage: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
    begin = time.process_time()
    result = call(*args, **named)
    seconds.setdefault(stage, []).append(time.process_time() - begin)
    return result


def batches(first: int, events: int) -> Iterator[IngestBatch]:
    for start in range(first, first + events, LINES_PER_BATCH):
        numbers = range(start, min(start + LINES_PER_BATCH, first + events))
        taken = [NewDelivery(number, delivery(number)) for number in numbers]
        yield IngestBatch(source=SOURCE, position=None, read=len(taken), deliveries=taken, skipped={}, rejected=())


def delivery(number: int) -> Delivery:
    """Each event has a message of its own."""
    body, request_id, execution_id = event(number).rstrip(), f"req-{number:024}", f"HUMA-{number:08}"
    return Delivery(
        id=IDS.delivery_id(body, request_id), address=ADDRESS, order_key=IDS.order_key(execution_id, ""), body=body,
        request_id=request_id, channel="email", status="bounce", execution_id=execution_id,
    )  # fmt: skip


def accepted(item: QueuedDelivery) -> Settlement:
    return Settlement(
        seq=item.seq, address=item.address, order_key=item.order_key, state=State.DELIVERED,
        attempts=1, tries=1, refusals=0, posts=1, http=204,
    )  # fmt: skip


def written_bytes() -> int:
    """The bytes that this process has passed to write calls."""
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["wchar"])


def deliver(spool: SqliteSpool, events: int, waiting: int, group: int) -> tuple[Seconds, int]:
    """Append, load and settle all events. Returns the times and the number of written bytes."""
    seconds: Seconds = {}
    queue: deque[QueuedDelivery] = deque()
    after, now, written = 0, NOW, 0
    for batch in batches(0, events):
        now += 0.05
        before = written_bytes()
        timed(seconds, "append", spool.enqueue, batch, now=now, dedupe_window=86_400.0)
        request = DequeueRequest(ADDRESS, after, LINES_PER_BATCH, True)
        ((items, after),) = timed(seconds, "load", spool.dequeue_new, [request])
        queue.extend(items)
        is_last = batch.deliveries[-1].line == events - 1
        while len(queue) > (0 if is_last else waiting):
            outcomes = [accepted(queue.popleft()) for _ in range(min(group, len(queue)))]
            timed(seconds, "settle", spool.settle, outcomes, now=now)
        written += written_bytes() - before
    return seconds, written


def maintain(spool: SqliteSpool, first: int) -> Seconds:
    """The time of each call that maintains a long backlog."""
    seconds: Seconds = {}
    calls = 10
    for batch in batches(first, 2 * calls * DEAD_LETTER_CHUNK):
        spool.enqueue(batch, now=NOW, dedupe_window=86_400.0)
    chunk: dict[str, Any] = {"now": NOW, "without": (), "limit": DEAD_LETTER_CHUNK}
    old = Retention(1.0, 10**9)
    for _ in range(calls):
        timed(seconds, "dead-letter a chunk", spool.dead_letter, ADDRESS, reason="gone", **chunk)
        timed(seconds, "expire a chunk", spool.expire, ADDRESS, before=NOW + 1, **chunk)
    for _ in range(calls):
        timed(seconds, "remove expired rows", spool.clean_up, now=NOW + 1e6, keep=old, limit=CLEANUP_ROWS)
    timed(seconds, "nothing to remove", spool.clean_up, now=NOW, keep=FOREVER, limit=CLEANUP_ROWS)
    return seconds


def measure(directory: Path, events: int, waiting: int, group: int) -> Results:
    results = Results(benchmark="spool", parameters={"events": events, "waiting": waiting, "group": group})
    spool = SqliteSpool(directory, since="now")
    try:
        seconds, written = deliver(spool, events, waiting, group)
    finally:
        spool.close()
    costs = {stage: sum(calls) / events * 1e6 for stage, calls in seconds.items()}
    for stage, cost in costs.items():
        results.add(stage, f"{stage} an event", "µs", [cost])
    results.add("together", "together", "µs", [sum(costs.values())])
    results.add("written", "written for an event", "bytes", [written / events])
    kept = (directory / DATABASE_FILE).stat().st_size / events
    results.add("kept", "database for a delivered event", "bytes", [kept])
    spool = SqliteSpool(directory, since="now")
    try:
        maintenance = maintain(spool, events)
    finally:
        spool.close()
    for stage, calls in maintenance.items():
        results.add(slug(stage), stage, "ms", (call * 1e3 for call in calls))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--waiting", type=int, default=1500, help="deliveries that stay pending")
    parser.add_argument("--group", type=int, default=64, help="outcomes of one transaction")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hookline-benchmark-") as name:
        results = measure(Path(name) / "spool", given.events, given.waiting, given.group)
    print(f"{given.events} events of 662 bytes, {given.waiting} pending, groups of {given.group}; {machine()}")
    lines = [(row.title, f"{row.value:,.1f} {row.unit}", f"{max(row.rounds):,.1f}") for row in results.rows]
    print(table(("", "median", "longest"), lines))
    results.write(given.json)


if __name__ == "__main__":
    main()
