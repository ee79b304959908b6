"""The shared spool: the ports of a relay on tables in PostgreSQL. One synced transaction stores a group of events."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.postgres.activity_table import write_minute
from hookline.relay.spool.postgres.relay_ports.followed_moves import SharedMoves
from hookline.relay.spool.postgres.relay_ports.group_ingest import GroupIngest
from hookline.relay.spool.postgres.relay_ports.lane_reads import LaneReads
from hookline.relay.spool.postgres.relay_ports.owner_writes import OwnerWrites
from hookline.relay.spool.postgres.relay_ports.record_ring import RecordRing
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, Step
from hookline.relay.spool.spool_values import EndpointState, Retention

_CHANGES: Final = "SELECT changes FROM spool.meta"
# A synced commit of any transaction with a number puts all earlier ones on the disk.
_SYNC: Final = "SELECT pg_current_xact_id()"
_SAVE_STATE: Final = """
UPDATE spool.webhook SET gone_reason = %s, gone_configuration = %s, not_before = %s WHERE n = %s
"""
# Deliveries do not age from the first reason to hold a webhook until the last one ends. Other processes notice it.
_SET_DISABLED: Final = """
WITH changed AS (
  UPDATE spool.webhook SET disabled = %(disabled)s, held_since = CASE
      WHEN NOT %(disabled)s AND paused IS NULL THEN NULL ELSE coalesce(held_since, %(now)s) END,
    held_seconds = held_seconds + CASE
      WHEN NOT %(disabled)s AND paused IS NULL THEN greatest(0.0, coalesce(%(now)s - held_since, 0.0)) ELSE 0.0 END
  WHERE n = %(n)s AND disabled != %(disabled)s RETURNING 1
)
UPDATE spool.meta SET changes = changes + 1 WHERE EXISTS (SELECT FROM changed) RETURNING changes
"""


class PostgresSpool(GroupIngest, LaneReads, OwnerWrites, SharedMoves):
    """Implements leases.SharedSpool: all ports of one process. Calls about slots of other owners have no effect."""

    def __init__(self, connection: SpoolConnection, leases: SlotLeases) -> None:
        super().__init__(connection, leases)
        self._ring = RecordRing(connection)
        self._changes: int = connection.query(_CHANGES)[0][0]

    # -- EndpointStates

    def endpoint_states(self) -> dict[Address, EndpointState]:
        return self._webhooks.states()

    def set_disabled(self, address: Address, *, disabled: bool, now: float) -> None:
        self._look_again()
        webhook = self._webhooks.known_or_added(address)
        values = {"disabled": disabled, "now": now, "n": webhook.n}
        changed = self._connection.run((_SET_DISABLED, values))[0]
        if changed and changed[0][0] == self._changes + 1:  # no other process has written in between
            self._changes += 1
        self._webhooks.read()

    def save_endpoint_state(
        self, address: Address, *, gone_reason: str | None, gone_configuration: str | None, not_before: float | None
    ) -> None:
        self._look_again()
        webhook = self._webhooks.known_or_added(address)
        self._connection.run((_SAVE_STATE, (gone_reason, gone_configuration, not_before, webhook.n)))

    # -- MaintenanceSpool

    def changed_by_others(self) -> bool:
        steps: list[Step] = [(_SYNC, ())] if self._unsynced else []
        seen, self._changes = self._changes, self._connection.run(*steps, (_CHANGES, ()))[-1][0][0]
        self._unsynced = False
        if seen == self._changes:
            return False
        self._webhooks.read()
        self._pending = None  # a replay changes it
        return True

    def clean_up(self, *, now: float, keep: Retention, limit: int) -> bool:
        """The owner of slot 0 cleans up for all."""
        if (epoch := self.leases.owned.get(0)) is None:
            return False
        return self._ring.clean_up(now=now, keep=keep, limit=limit, epoch=epoch, token=self.leases.token)

    def record_activity(self, rows: Sequence[MinuteActivity]) -> None:
        write_minute(self._connection, rows)

    def close(self) -> None:
        """Give the leases up. Without the database, they end by themselves."""
        with suppress(SpoolStalled):
            if self._unsynced:
                self._connection.run((_SYNC, ()))
            self.leases.leave()
        self._connection.close()
        self.leases.close()
