"""Reads the pending deliveries of the slots that this process owns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hookline.model import Address
from hookline.relay.spool.postgres.binary_arrays import ints, small_ints
from hookline.relay.spool.postgres.relay_ports import pending_queries
from hookline.relay.spool.postgres.relay_ports.spool_process import SpoolProcess
from hookline.relay.spool.spool_values import DequeueRequest, ProbeRequest, QueuedDelivery


class LaneReads(SpoolProcess):
    """Implements spool.DequeueSpool, and the queries of SharedSpool."""

    def dequeue_new(self, requests: Sequence[DequeueRequest]) -> list[tuple[list[QueuedDelivery], int]]:
        self._look_again()
        owned = self.leases.owned
        asked = [
            (number, one, webhook)
            for number, one in enumerate(requests)
            if (webhook := self._known(one.address)) is not None and webhook.slot in owned
        ]
        answers: list[tuple[list[QueuedDelivery], int]] = [([], one.after) for one in requests]
        if not asked:
            return answers
        rows = self._connection.query(pending_queries.NEW, {
            "webhooks": small_ints([webhook.n for _, _, webhook in asked]),
            "afters": ints([one.after for _, one, _ in asked]),
            "limits": small_ints([one.limit for _, one, _ in asked]),
            "ordered": small_ints([int(one.ordered) for _, one, _ in asked]),
            "slots": small_ints([webhook.slot for _, _, webhook in asked]),
            "epochs": ints([owned[webhook.slot] for _, _, webhook in asked]),
            "token": self.leases.token,
        }, binary=True)  # fmt: skip
        for place, last, seq, *rest in rows:
            number, one, _ = asked[place - 1]
            items, cursor = answers[number]
            if seq is not None:
                items += self._queued([(seq, *rest)])
            cursor = max(cursor, last or 0) if len(items) < one.limit else items[-1].seq
            answers[number] = items, cursor
        return answers

    def dequeue_due(
        self, address: Address, *, now: float, limit: int, without: Collection[int]
    ) -> list[QueuedDelivery]:
        self._look_again()
        if (webhook := self._known(address)) is None:
            return []
        values = {"webhook": webhook.n, "now": now, "limit": limit + len(without), **self._owner(webhook.slot)}
        rows = self._connection.query(pending_queries.DUE_NOW, values, binary=True)
        return self._queued([row for row in rows if row[0] not in without][:limit])

    def dequeue_probe(self, request: ProbeRequest, *, now: float, without: Collection[int]) -> QueuedDelivery | None:
        self._look_again()
        if (webhook := self._known(request.address)) is None:
            return None
        oldest, newest = self._connection.query(pending_queries.ENDS, {"webhook": webhook.n})[0]
        if oldest is None:
            return None
        at_end = request.place >= 1.0
        statement = pending_queries.PROBE_AT_OR_BEFORE if at_end else pending_queries.PROBE_AT_OR_AFTER
        values = {
            "webhook": webhook.n, "place": oldest + int((newest - oldest) * request.place),
            "ordered": request.ordered, "now": now, "other_than": request.other_than,
            "without": ints(sorted(without)), **self._owner(webhook.slot),
        }  # fmt: skip
        for untried in (True, False):
            if rows := self._connection.query(statement, {**values, "untried": untried}, binary=True):
                return self._queued(rows)[0]
        return None

    def next_due(self, address: Address, *, after: float) -> float | None:
        self._look_again()
        if (webhook := self._known(address)) is None:
            return None
        rows = self._connection.query(pending_queries.FIRST_DUE, (webhook.n, after))
        return rows[0][0] if rows else None

    def next_dues(self, addresses: Collection[Address]) -> dict[Address, float]:
        self._look_again()
        if not self._webhooks.by_address.keys() >= set(addresses):
            self._webhooks.read()
        known = [webhook.n for one in addresses if (webhook := self._known(one)) is not None]
        rows = self._connection.query(pending_queries.FIRST_DUES, (small_ints(known),)) if known else []
        return {self._webhooks.numbered(n).address: due for n, due in rows}

    def pending(self) -> set[Address]:
        self._look_again()
        owned = small_ints(list(self.leases.owned))
        rows = self._connection.query(pending_queries.WEBHOOKS_WITH_PENDING, (owned,))
        return {self._webhooks.numbered(n).address for (n,) in rows}

    def latest_place(self) -> int:
        self._look_again()
        place: int = self._connection.query(pending_queries.LATEST_PLACE)[0][0]
        return place

    def pending_until(self, place: int) -> dict[Address, bool]:
        self._look_again()
        rows = self._connection.query(pending_queries.PENDING_UNTIL, (place,))
        return {self._webhooks.numbered(n).address: held for n, held in rows}

    def arrivals(self) -> set[Address]:
        """The webhooks for which other processes have stored deliveries since the last call; of a slot that is owned
        since then, all that have pending deliveries."""
        self._look_again()
        owned = self.leases.owned
        before = {slot: place for slot, (epoch, place) in self._arrived.items() if owned.get(slot) == epoch}
        found: set[Address] = set()
        if before:
            values = small_ints(list(before)), ints(list(before.values()))
            for slot, n, last in self._connection.query(pending_queries.ARRIVED, values):
                before[slot] = max(before[slot], last)
                found.add(self._webhooks.numbered(n).address)
        if new := [slot for slot in owned if slot not in before]:
            for slot, n, last in self._connection.query(pending_queries.NEWLY_OWNED, (small_ints(new),)):
                before[slot] = last or 0
                if n is not None:
                    found.add(self._webhooks.numbered(n).address)
        self._arrived = {slot: (owned[slot], place) for slot, place in before.items()}
        return found
