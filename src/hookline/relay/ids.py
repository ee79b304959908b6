"""The ids of deliveries, requests and messages: hashes that are the same in every run and release.

All are BLAKE2b (RFC 7693), each with its own personalization, over texts with their lengths. The first bytes of an
input that never change are hashed once, because copying a hash takes a fifth of the time of making one.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from uuid import UUID

PREFIX_BYTES = 4
_SIGNED_64_BITS = Struct(">q")
_PREFIX = blake2b(digest_size=PREFIX_BYTES, person=b"request-prefix")


def framed(text: str) -> bytes:
    """Returns the text with its length before it, so that two lists of texts never have the same bytes."""
    data = text.encode()
    return b"%d:%b" % (len(data), data)


def request_prefix(request_id: str) -> bytes:
    """Returns the first PREFIX_BYTES of the ids of all deliveries of a request. An index of ids keeps them together.

    Two requests can have the same prefix (one in 4 billion), so a search by request also compares the request id.
    """
    hashed = _PREFIX.copy()
    hashed.update(framed(request_id))
    return hashed.digest()


class WebhookIds:
    """Makes the ids of one webhook. `seed` identifies the webhook and begins every input."""

    __slots__ = ("_delivery", "_order", "_request")

    def __init__(self, seed: bytes) -> None:
        self._delivery = blake2b(seed, digest_size=16, person=b"delivery")
        self._request = blake2b(seed, digest_size=16, person=b"request")
        self._order = blake2b(seed, digest_size=8, person=b"order")

    def delivery_id(self, content: bytes, request_id: str) -> bytes:
        """Returns 16 bytes: 4 for the payload's request, 12 for the webhook and the event (`content`)."""
        hashed = self._delivery.copy()
        hashed.update(content)
        return request_prefix(request_id) + hashed.digest()[:12]

    def derived_request_id(self, content: bytes) -> str:
        """Returns a request id for events without one: a UUID (version 8, RFC 9562 §5.8), as receivers may expect
        one.
        """
        hashed = self._request.copy()
        hashed.update(content)
        digest = bytearray(hashed.digest())
        digest[6] = digest[6] & 0x0F | 0x80
        digest[8] = digest[8] & 0x3F | 0x80
        return str(UUID(bytes=bytes(digest)))

    def order_key(self, execution_id: str, recipient: str) -> int:
        """Returns the key of one message to one recipient, a signed 64-bit integer (for SQLite)."""
        hashed = self._order.copy()
        hashed.update(framed(execution_id) + framed(recipient))
        key: int = _SIGNED_64_BITS.unpack(hashed.digest())[0]
        return key
