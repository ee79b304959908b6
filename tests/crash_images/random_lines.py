"""The lines of a run: deliveries, duplicates, skipped events and rejected lines, drawn at random."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final

from crash_images.record import Script
from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Line
from hookline.relay.sources.source import Position
from hookline.relay.spool.spool_values import IngestBatch, NewDelivery, RejectedLine

ADDRESSES: Final = (Address("acme", "prod"), Address("acme", "dev"), Address("other", "prod"))
SOURCES: Final = ("a.log", "b.log", "c.log")


class RandomLines:
    """Draws lines, and describes them in `script`."""

    def __init__(self, random: Random, script: Script) -> None:
        self._random = random
        self._script = script
        self._count = 0
        self._known: list[Delivery] = []

    def batch(self, source: str, first: int) -> IngestBatch:
        """The next lines of a source, from the number `first` on."""
        last = first + self._random.choice((0, 1, 3, 5, 8))
        deliveries: list[NewDelivery] = []
        rejected: list[RejectedLine] = []
        skipped: dict[str, int] = {}
        for number in range(first, last + 1):
            self._script.events[source, number] = 1
            kind = self._random.random()
            if kind < 0.1:
                rejected.append(self._rejected(source, number))
            elif kind < 0.2:
                skipped["no webhook"] = skipped.get("no webhook", 0) + 1
            else:
                deliveries.append(NewDelivery(number, self.delivery(source, number, again=kind < 0.3)))
        position = Position(
            name=source, line=last, offset=last * 100, device=1, inode=SOURCES.index(source) + 1, head_length=100,
            head_hash=b"0" * 16, key=source.encode(),
        )  # fmt: skip
        return IngestBatch(
            source=source, position=position, read=last - first + 1, deliveries=deliveries, skipped=skipped,
            rejected=rejected,
        )  # fmt: skip

    def _rejected(self, source: str, number: int) -> RejectedLine:
        self._script.rejected_lines.add((source, number))
        data = f"broken {source} {number}".encode()
        return RejectedLine(Line(number, data, len(data)), -1, "not JSON")

    def delivery(self, source: str, number: int, *, again: bool = False) -> Delivery:
        """A new delivery, or one that was read before."""
        if again and self._known:
            return self._random.choice(self._known)
        self._count += 1
        name = f"{source}:{number}:{self._count}"
        address = self._random.choice(ADDRESSES)
        order_key = self._random.choice((None, *range(1, 6)))
        one = Delivery(
            id=hashlib.blake2b(name.encode(), digest_size=16).digest(), address=address,
            order_key=None if order_key is None else order_key * 10 + ADDRESSES.index(address),
            body=self._random.randbytes(self._random.choice((100, 400, 900, 900, 12_000))),
            request_id=f"request-{self._count}", channel="email", status="sent",
        )  # fmt: skip
        self._script.first_lines[one.id] = (source, number)
        self._known.append(one)
        return one
