"""A spool on a full disk: tests/faults/test_full_disk.py runs this program on a small disk.

It prints one fact per line.
"""

from __future__ import annotations

import sys
from pathlib import Path

from builders import delivery, ingest_batch, settlement
from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.relay.spool.spool_values import DequeueRequest, QueuedDelivery, Settlement, State
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

ACME = Address("acme", "prod")
GROUP = 500
BODY = bytes(1000)


def read_until_stalled(spool: SqliteSpool, first: int) -> int:
    """Append groups of deliveries until the spool stalls; the number of the next delivery."""
    while True:
        intake = ingest_batch(*(delivery(str(number), body=BODY) for number in range(first, first + GROUP)))
        try:
            spool.enqueue(intake, now=first, dedupe_window=0.0)
        except SpoolStalled:
            return first
        first += GROUP


def failed(item: QueuedDelivery) -> Settlement:
    """The settlement that needs most space: a long history, and the payload is kept."""
    return settlement(item, State.PENDING, due=9e9, history="x" * 400)


def record(spool: SqliteSpool, most: int) -> int:
    """Settle `most` deliveries while ingest retries all the time; the number of recorded settlements.

    The second try of each group must succeed.
    """
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
