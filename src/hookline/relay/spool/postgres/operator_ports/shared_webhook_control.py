"""Pauses and resumes the webhooks of a shared spool, and makes their retries due."""

from __future__ import annotations

from typing import Final

from hookline.model import Address
from hookline.relay.spool.postgres.operator_ports.operator_port import OperatorPort, Run
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import SpoolConnection

SHARED_RETRIES_PER_CHUNK: Final = 5000
_ADD: Final = """
INSERT INTO spool.webhook (organization, sandbox, slot) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_FIND: Final = "SELECT n FROM spool.webhook WHERE organization = %s AND sandbox = %s"
_SET_PAUSED: Final = """
UPDATE spool.webhook SET paused = CASE WHEN %(paused)s THEN %(now)s::float8 END
WHERE n = %(n)s AND (paused IS NULL) = %(paused)s
"""
# Deliveries do not age from the first reason to hold a webhook until the last one ends.
_STOP_CLOCK: Final = """
UPDATE spool.webhook SET held_since = %s WHERE n = %s AND held_since IS NULL AND (disabled OR paused IS NOT NULL)
"""
_START_CLOCK: Final = """
UPDATE spool.webhook SET held_seconds = held_seconds + greatest(0, %s - held_since), held_since = NULL
WHERE n = %s AND held_since IS NOT NULL AND NOT disabled AND paused IS NULL
"""
# A retry that the owner settles at this moment is left out: its result may as well come after this call.
_MAKE_DUE: Final = """
UPDATE spool.delivery SET due = %s WHERE seq IN (
  SELECT seq FROM spool.delivery WHERE state = 0 AND webhook = %s AND due > %s ORDER BY due LIMIT %s
  FOR UPDATE SKIP LOCKED)
"""
_RETRY_NOW: Final = """
UPDATE spool.webhook SET retry_now_at = %s, gone_reason = NULL, gone_configuration = NULL, not_before = NULL
WHERE n = %s
"""


def webhook_number(run: Run, address: Address, slots: int) -> int:
    """The number of a webhook. A new webhook receives one. `slots` is the number of slots of the spool."""
    key = (address.organization, address.sandbox)
    found = run(_FIND, key).fetchone()
    if found is None:
        run(_ADD, (*key, slot_of(address, slots)))
        found = run(_FIND, key).fetchone()
    assert found is not None
    return int(found[0])


class SharedWebhookControl(OperatorPort):
    """Implements admin.WebhookControl. `chunk`: how many retries one transaction of `retry_now` makes due."""

    def __init__(self, connection: SpoolConnection, *, chunk: int = SHARED_RETRIES_PER_CHUNK) -> None:
        super().__init__(connection)
        self._chunk = chunk

    def pause(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, True, now)

    def resume(self, address: Address, *, now: float) -> bool:
        return self._set_paused(address, False, now)

    def _set_paused(self, address: Address, paused: bool, now: float) -> bool:
        with self._change() as run:
            webhook = webhook_number(run, address, self._connection.slots)
            changed = run(_SET_PAUSED, {"paused": paused, "now": now, "n": webhook}).rowcount
            run(_STOP_CLOCK, (now, webhook))
            run(_START_CLOCK, (now, webhook))
        return bool(changed)

    def retry_now(self, address: Address, *, now: float) -> int:
        with self._change() as run:
            webhook = webhook_number(run, address, self._connection.slots)
        total = 0
        while made := self._make_due(webhook, now):
            total += made
        with self._change() as run:
            run(_RETRY_NOW, (now, webhook))
        return total

    def _make_due(self, webhook: int, now: float) -> int:
        with self._change() as run:
            return run(_MAKE_DUE, (now, webhook, now, self._chunk)).rowcount
