"""A spool on a disk of its own that is full: run as a program, on a small disk, by tests/faults/test_full_disk.py.

Prints what a relay would meet there, one fact a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from builders import delivery, ingest_batch, settlement
from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.relay.spool.spool import DequeueRequest, QueuedDelivery, Settlement, State
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

ACME = Address("acme", "prod")
GROUP = 500
BODY = bytes(1000)


def read_until_stalled(spool: SqliteSpool, first: int) -> int:
    """Groups of deliveries, until the spool takes no more. The number to go on with."""
    while True:
        intake = ingest_batch(*(delivery(str(number), body=BODY) for number in range(first, first + GROUP)))
        try:
            spool.append(intake, now=first, dedupe_window=0.0)
        except SpoolStalled:
            return first
        first += GROUP


def failed(item: QueuedDelivery) -> Settlement:
    """An outcome that needs more room than any other: the history of its failures, and the payload is kept."""
    return settlement(item, State.PENDING, due=9e9, history="x" * 400)


def record(spool: SqliteSpool, most: int) -> int:
    """An outcome for each of so many deliveries, while a reader beside it never gives up. How many could be recorded:
    the second try of each group must succeed."""
    recorded = after = 0
    while recorded < most:
        items = spool.fresh([DequeueRequest(ACME, after, GROUP, False)])[0][0]
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
