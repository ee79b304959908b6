"""The names that deliveries, requests and messages go by: hashes that come out the same in every run and release.

All are BLAKE2b (RFC 7693), each with a personalization of its own, over texts that are framed by their length.
"""

from __future__ import annotations

from hashlib import blake2b

PREFIX_BYTES = 4


def framed(text: str) -> bytes:
    """The text behind its length, so that no two lists of texts make the same bytes."""
    data = text.encode()
    return b"%d:%b" % (len(data), data)


def request_prefix(request_id: str) -> bytes:
    """The first 4 bytes of the ids of all deliveries of a request: they lie side by side in an index of ids.

    Other requests may share it (one in 4 billion does), so who looks a request up compares the request id too.
    """
    return blake2b(framed(request_id), digest_size=PREFIX_BYTES, person=b"request-prefix").digest()


def delivery_id(seed: bytes, content: bytes, request_id: str) -> bytes:
    """16 bytes: the prefix of the payload's request, then 12 of the webhook (`seed`) and of what identifies the
    event (`content`)."""
    return request_prefix(request_id) + blake2b(seed + content, digest_size=16, person=b"delivery").digest()[:12]


def derived_request_id(seed: bytes, content: bytes) -> str:
    """A request id for events that name none.

    A UUID of version 8 (RFC 9562 §5.8: the meaning of its bits is ours), since receivers may expect one.
    """
    digest = bytearray(blake2b(seed + content, digest_size=16, person=b"request").digest())
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    written = digest.hex()
    return f"{written[:8]}-{written[8:12]}-{written[12:16]}-{written[16:20]}-{written[20:]}"


def order_key(seed: bytes, execution_id: str, recipient: str) -> int:
    """One message to one recipient of one webhook, as a signed 64-bit integer: what an SQLite column can hold."""
    content = seed + framed(execution_id) + framed(recipient)
    return int.from_bytes(blake2b(content, digest_size=8, person=b"order").digest(), "big", signed=True)
