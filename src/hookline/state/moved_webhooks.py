"""The webhooks that have moved to another address, as the moves of the state record them.

A webhook keeps its identity when it moves. Ids of deliveries and order keys come from the identity, so an event
that is known under the earlier address is a duplicate, and deliveries keep their order within a message.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from hookline.model import Address
from hookline.state.store import Move


class WebhookIdentity(NamedTuple):
    """The first address of a webhook. If an earlier webhook had the same first address and has moved away from it,
    `after` is the serial of that move; otherwise it is 0."""

    address: Address
    after: int = 0


class MovedWebhooks:
    """The results of all moves of a state, which are in the order of their serials."""

    def __init__(self, moves: Iterable[Move] = ()) -> None:
        self._identities: dict[Address, WebhookIdentity] = {}
        self._left: dict[Address, int] = {}
        self._moved_to: dict[Address, Address] = {}
        for move in moves:
            self._identities[move.new] = self.identity(move.old)
            self._identities.pop(move.old, None)
            self._left[move.old] = move.serial
            self._moved_to[move.old] = move.new
            self._moved_to.pop(move.new, None)

    def identity(self, address: Address) -> WebhookIdentity:
        """The identity of the webhook that has the address now, or would have it."""
        return self._identities.get(address) or WebhookIdentity(address, self._left.get(address, 0))

    def new_address(self, old: Address, applied: Container[object]) -> Address | None:
        """The present address of the webhook that had this one last. None: it has none, or never moved, or another
        webhook has the address now."""
        address: Address | None = old
        while address is not None and address not in applied:
            address = self._moved_to.get(address)
        return None if address == old else address
