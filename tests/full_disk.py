"""A spool on a disk of its own that is full: run as a program, on a small disk, by tests/faults/test_full_disk.py.

Prints what a relay would meet there, one fact a line.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.spool import DequeueRequest, IngestBatch, NewDelivery, QueuedDelivery, Settlement, State
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

ACME = Address("acme", "prod")
GROUP = 500
BODY = bytes(1000)


def read_until_stalled(spool: SqliteSpool, first: int) -> int:
    """Store groups of deliveries until the disk is full. Returns the next number."""
    while True:
        deliveries = [
            Delivery(
                id=hashlib.blake2b(b"%d" % number, digest_size=16).digest(), address=ACME, order_key=None, body=BODY,
                request_id=f"request-{number}", channel="email", status="sent",
            )
            for number in range(first, first + GROUP)
        ]  # fmt: skip
        intake = IngestBatch(
            source="events", position=None, read=GROUP, deliveries=[NewDelivery(1, one) for one in deliveries],
            skipped={}, rejected=[],
        )  # fmt: skip
        try:
            spool.enqueue(intake, now=first, dedupe_window=0.0)
        except SpoolStalled:
            return first
        first += GROUP


def failed(item: QueuedDelivery) -> Settlement:
    """An outcome that needs the most space: it adds a history of failures and keeps the payload."""
    return Settlement(
        seq=item.seq, address=item.address, order_key=None, state=State.PENDING, attempts=1, tries=1, refusals=0,
        posts=1, due=9e9, history="x" * 400,
    )  # fmt: skip


def record(spool: SqliteSpool, most: int) -> int:
    """Record an outcome for each of `count` deliveries, while ingest retries all the time. Returns how many were
    recorded: the second try of each group must succeed."""
    recorded = after = 0
    while recorded < most:
        items = spool.dequeue_new([DequeueRequest(ACME, after, GROUP, False)])[0][0]
        for group in ([failed(item) for item in items],) * 2:
            try:
                spool.settle(group, now=1e6 + recorded)
                break
            except SpoolStalled:
                pass
        else:
            return recorded
        recorded, after = recorded + len(items), items[-1].seq
        read_until_stalled(spool, 1_000_000_000 + recorded)
    return recorded


def main(directory: Path) -> None:
    spool = SqliteSpool(directory, since="now")
    read = read_until_stalled(spool, 0)
    sys.stdout.write(f"read {'some' if read > 0 else 'nothing'}\n")
    recorded = record(spool, read)
    sys.stdout.write(f"recorded {'all' if recorded == read else f'{recorded} of {read}'}\n")
    spool.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
