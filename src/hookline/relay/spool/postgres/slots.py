"""Slots: shares of the endpoints of a shared spool, by the hash of the address."""

from __future__ import annotations

from hashlib import blake2b

from hookline.model import Address
from hookline.relay.ids import framed


def slot_of(address: Address, slots: int) -> int:
    """The slot of a webhook, from 0 to `slots` - 1. It depends on nothing but the address."""
    hashed = blake2b(framed(address.organization) + framed(address.sandbox), digest_size=8, person=b"slot")
    return int.from_bytes(hashed.digest()) % slots
