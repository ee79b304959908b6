"""What becomes of an event before it is delivered: the values that reading and routing hand to the spool."""

from __future__ import annotations

from typing import Final

import msgspec

from hookline.model import Address

LONGEST_DETAIL: Final = 500
WHOLE: Final = -1
"""In the place of the number of a line's event: what is said is of the whole line."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event to one webhook: its route and payload bytes, fixed for every attempt.

    `id` is 16 bytes, the same in every attempt and every re-run. `order_key` is a signed 64-bit hash of address,
    message execution and primary identity; None where the event names no message. `detail` is the provider's own
    wording, at most LONGEST_DETAIL characters; it is kept for people, not sent.
    """

    id: bytes
    address: Address
    order_key: int | None
    body: bytes
    request_id: str
    channel: str
    status: str
    time: str | None = None
    detail: str | None = None


class Skipped(msgspec.Struct, frozen=True):
    """An event that is not for any webhook. `reason` is a stable word of `routing.SKIP_REASONS`, and is counted.

    `name`: of a status that is not relayed, what it is called where it comes from.
    """

    reason: str
    name: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A line, or an event of it, that cannot be read or routed; kept whole in the dead letters. For people."""

    reason: str


Fate = Delivery | Skipped | Rejected


class Line(msgspec.Struct, frozen=True):
    """One line of a source without its terminator. `number` counts from 1.

    Of a line over the limit `data` is the beginning only; `length` (bytes) and `sha256` are of the whole line.
    """

    number: int
    data: bytes
    length: int
    sha256: bytes | None = None
