"""The ids of deliveries, requests and messages: hashes that are the same in every run and release.

All are BLAKE2b (RFC 7693), each with its own personalization, over texts with their lengths.
"""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

PREFIX_BYTES = 4


def framed(text: str) -> bytes:
    """Returns the text with its length before it, so that two lists of texts never have the same bytes."""
    data = text.encode()
    return b"%d:%b" % (len(data), data)


def request_prefix(request_id: str) -> bytes:
    """Returns the first PREFIX_BYTES of the ids of all deliveries of a request. An index of ids keeps them together.

    Two requests can have the same prefix (one in 4 billion), so a search by request also compares the request id.
    """
    return blake2b(framed(request_id), digest_size=PREFIX_BYTES, person=b"request-prefix").digest()


def delivery_id(seed: bytes, content: bytes, request_id: str) -> bytes:
    """Returns 16 bytes: 4 for the payload's request, 12 for the webhook (`seed`) and the event (`content`)."""
    return request_prefix(request_id) + blake2b(seed + content, digest_size=16, person=b"delivery").digest()[:12]


def derived_request_id(seed: bytes, content: bytes) -> str:
    """Returns a request id for events without one: a UUID (version 8, RFC 9562 §5.8), as receivers may expect one."""
    digest = bytearray(blake2b(seed + content, digest_size=16, person=b"request").digest())
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(UUID(bytes=bytes(digest)))


def order_key(seed: bytes, execution_id: str, recipient: str) -> int:
    """Returns the key of one message to one recipient of one webhook, a signed 64-bit integer (for SQLite)."""
    content = seed + framed(execution_id) + framed(recipient)
    return int.from_bytes(blake2b(content, digest_size=8, person=b"order").digest(), "big", signed=True)
