"""Records results, and changes the pending deliveries of the slots that this process owns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hookline.model import Address
from hookline.relay.spool.postgres.binary_arrays import ints, small_ints
from hookline.relay.spool.postgres.lease_statements import FENCE
from hookline.relay.spool.postgres.relay_ports import settlement_writer
from hookline.relay.spool.postgres.relay_ports.crash_counts import CrashCounts
from hookline.relay.spool.postgres.relay_ports.delivery_writer import COUNT, IDENTIFY
from hookline.relay.spool.postgres.relay_ports.spool_process import CallIdentity
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import Conflict, SpoolConnection, Step
from hookline.relay.spool.spool_values import QueuedDelivery, Settlement

_SYNC_SECONDS: Final = 0.5


class OwnerWrites(CrashCounts):
    """Implements spool.SettleSpool."""

    def __init__(self, connection: SpoolConnection, leases: SlotLeases) -> None:
        super().__init__(connection, leases)
        self._settled = CallIdentity()
        self._unsynced = False
        self._synced_at = 0.0

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[QueuedDelivery]:
        self._look_again()
        # Most groups are not synced: if a crash of the server loses a result, the event is sent twice, but not lost.
        synced = not 0.0 <= now - self._synced_at < _SYNC_SECONDS
        slots = {self._webhooks.slot(one.address) for one in settlements}
        fence, step = self._fence(slots)
        head = [self._settings(synced=synced), (IDENTIFY, (self._settled.of(settlements),)), step]
        posts = sum(one.posts for one in settlements)
        if posts:
            head.append((COUNT, (["attempts"], [posts])))
        head += self._result_steps(slots)
        results = settlement_writer.result_steps(settlements, fence, now)
        successors = settlement_writer.successor_steps(settlements, self._webhooks.by_address)
        after = [self._settings(), *successors] if successors else []
        try:
            rows = self._connection.run(*head, *results, after=after)
        except Conflict:  # an earlier call has recorded them, and its answer was lost
            self._pending = None
            rows = [[], [], *self._connection.run(step), *[[] for _ in head[3:]], *[[(0,)] for _ in results],
                    *self._connection.run(*after)]  # fmt: skip
        self._settled.end()
        self._note_results(slots)
        self._unsynced = not synced
        if synced:
            self._synced_at = now
        ended = rows[len(head) : len(head) + len(results)]
        self._count_ended(sum(one[0][0] for one in ended))
        owned = {slot for (slot,) in rows[2]}
        waiting = rows[-1] if after else []
        return [one for one in self._queued(waiting) if self._webhooks.slot(one.address) in owned]

    def _fence(self, slots: Collection[int]) -> tuple[dict[str, object], Step]:
        """The parameters that name the owner of slots, and the statement that locks their rows."""
        owned = self.leases.owned
        mine = sorted(slot for slot in slots if slot in owned)
        values = {
            "slots": small_ints(mine), "epochs": ints([owned[slot] for slot in mine]), "token": self.leases.token,
        }  # fmt: skip
        return values, (FENCE, tuple(values.values()))

    def dead_letter(self, address: Address, *, reason: str, now: float, without: Collection[int], limit: int) -> int:
        values = {"reason": reason, "now": now, "without": ints(sorted(without)), "limit": limit}
        dead = self._change(settlement_writer.DIE_FIRST, address, values)
        self._count_ended(dead)
        return dead

    def expire(self, address: Address, *, before: float, now: float, without: Collection[int], limit: int) -> int:
        values = {
            "reason": "expired", "before": before, "now": now, "without": ints(sorted(without)), "limit": limit,
        }  # fmt: skip
        dead = self._change(settlement_writer.DIE_OLDEST, address, values)
        self._count_ended(dead)
        return dead

    def make_due(self, address: Address, *, now: float, limit: int, after: float | None = None) -> int:
        values = {"now": now, "limit": limit, "after": now if after is None else after, "all": after is None}
        return self._change(settlement_writer.MAKE_DUE, address, values)

    def _change(self, statement: str, address: Address, values: Mapping[str, object]) -> int:
        """Change deliveries of a webhook, and return their number."""
        self._look_again()
        if (webhook := self._known(address)) is None:
            return 0
        _, fence = self._fence({webhook.slot})
        change = (statement, {**values, "webhook": webhook.n, **self._owner(webhook.slot)})
        changed: int = self._connection.run(self._settings(), fence, change)[2][0][0]
        return changed
