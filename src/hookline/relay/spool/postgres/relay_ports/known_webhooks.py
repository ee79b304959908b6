"""The webhooks of a shared spool, as this process knows them: their numbers, their slots and their clocks."""

from __future__ import annotations

from typing import Final, NamedTuple

from hookline.model import Address
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.spool_values import EndpointState

_READ: Final = "SELECT n, organization, sandbox, slot, held_seconds, held_since FROM spool.webhook"
_ADD: Final = """
INSERT INTO spool.webhook (organization, sandbox, slot) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING
"""
_STATES: Final = """
SELECT organization, sandbox, disabled, paused, gone_reason, gone_configuration, not_before, retry_now_at,
  forgotten_at
FROM spool.webhook
"""


class KnownWebhook(NamedTuple):
    """A webhook's number and slot, and its clock, which stops while it is held (disabled or paused): for
    `held_seconds` until now, and since `held_since`."""

    n: int
    address: Address
    slot: int
    held_seconds: float = 0.0
    held_since: float | None = None

    def clock(self, now: float) -> float:
        """The time of its clock at the Unix time `now`."""
        return (now if self.held_since is None else min(now, self.held_since)) - self.held_seconds


class KnownWebhooks:
    """The webhooks by number and by address. Other processes add some, so an unknown number is read again."""

    def __init__(self, connection: SpoolConnection) -> None:
        self._connection = connection
        self._slots: dict[Address, int] = {}
        self.by_number: dict[int, KnownWebhook] = {}
        self.by_address: dict[Address, KnownWebhook] = {}

    def read(self) -> None:
        rows = self._connection.query(_READ)
        self.by_number = {
            n: KnownWebhook(n, Address(organization, sandbox), *rest) for n, organization, sandbox, *rest in rows
        }
        self.by_address = {one.address: one for one in self.by_number.values()}

    def slot(self, address: Address) -> int:
        """The slot of an address, also of one that the spool does not know."""
        if (found := self._slots.get(address)) is None:
            found = self._slots[address] = slot_of(address, self._connection.slots)
        return found

    def numbered(self, n: int) -> KnownWebhook:
        if n not in self.by_number:
            self.read()
        return self.by_number[n]

    def known_or_added(self, address: Address) -> KnownWebhook:
        """The webhook of an address. A new one receives a number."""
        if address not in self.by_address:
            self._connection.run((_ADD, (*address, self.slot(address))))
            self.read()
        return self.by_address[address]

    def states(self) -> dict[Address, EndpointState]:
        return {
            Address(organization, sandbox): EndpointState(
                disabled=disabled, paused=paused, gone_reason=gone_reason, gone_configuration=gone_configuration,
                not_before=not_before, retry_now_at=retry_now_at, forgotten_at=forgotten_at,
            )
            for organization, sandbox, disabled, paused, gone_reason, gone_configuration, not_before, retry_now_at,
                forgotten_at
            in self._connection.query(_STATES)
        }  # fmt: skip
