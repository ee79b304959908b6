"""The stores that every suite of a spool's port runs on, and the values that the suites put into them.

A store joins by a line in LOCATIONS, beside its registration in relay/spool/factory.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from builders import ACME, ingest_batch
from contract.memory_store import MemoryStore
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Line
from hookline.relay.sources.source import Position
from hookline.relay.spool import factory
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_values import DequeueRequest, IngestBatch, QueuedDelivery, RejectedLine
from postgres_server import shared_server

OTHER = Address("other", "prod")
DAY = 86_400.0


def shared_location(directory: Path) -> str:
    """A spool in a schema of its own: to create one costs less than to create a database."""
    name = hashlib.blake2b(str(directory).encode(), digest_size=8).hexdigest()
    return shared_server().url("postgres", more=f"?spool=t{name}")


# The location of a new spool, given an empty directory.
LOCATIONS: dict[str, Callable[[Path], str]] = {
    "embedded": lambda directory: str(directory / "spool"),
    "shared": shared_location,
    "memory": lambda directory: f"memory://{directory}/spool",
}

# Stores that are registered for tests only, by their scheme.
REGISTERED: dict[str, Callable[[str], factory.SpoolStore]] = {"memory": MemoryStore}


def intake(*deliveries: Delivery, rejected: int = 0, line: int = 1, **skipped: int) -> IngestBatch:
    refused = [RejectedLine(Line(line + n, b"broken %d" % n, 8), 0, "not JSON") for n in range(rejected)]
    return ingest_batch(
        *deliveries,
        line=line,
        position=Position(name="events", line=line, offset=line * 10, device=1, inode=2),
        read=len(deliveries) + rejected + sum(skipped.values()),
        skipped=skipped,
        rejected=refused,
    )


def put(spool: Spool, *deliveries: Delivery, now: float = 0.0, window: float = DAY) -> None:
    spool.enqueue(intake(*deliveries), now=now, dedupe_window=window)


def put_rejected(spool: Spool, *lines: bytes, now: float = 0.0) -> None:
    refused = [RejectedLine(Line(n, line, len(line)), 0, "not JSON") for n, line in enumerate(lines, 1)]
    spool.enqueue(ingest_batch(read=len(lines), rejected=refused), now=now, dedupe_window=DAY)


def fresh(
    spool: Spool, address: Address = ACME, *, after: int = 0, limit: int = 100, ordered: bool = True
) -> list[QueuedDelivery]:
    return spool.dequeue_new([DequeueRequest(address, after, limit, ordered)])[0][0]


def bodies(items: Sequence[QueuedDelivery]) -> list[bytes]:
    return [item.body for item in items]


def balanced(tally: dict[str, int]) -> bool:
    """read + replayed + moved in = everything that it became, pending and moved out included."""
    became = ("delivered", "skipped", "rejected", "dead", "dup", "pending", "moved_out")
    results = sum(n for what, n in tally.items() if what.startswith(became))
    return sum(tally.get(what, 0) for what in ("read", "replayed", "moved_in")) == results
