"""Dead letters as values: what a spool keeps of what a relay will not try again by itself."""

from __future__ import annotations

import msgspec

from hookline.model import Address


class DeadDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A refused or exhausted delivery: `at` is when it died, in Unix seconds. `history` as in history.py, `body` the
    payload, and the rest as in fates.Delivery."""

    id: bytes
    at: float
    reason: str
    http: int | None
    attempts: int
    history: str | None
    webhook: Address
    request_id: str
    channel: str
    status: str
    event_time: str | None
    detail: str | None
    source: str
    line: int
    body: bytes


class DeadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line (`part` is WHOLE), or the event number `part` (from 0) of it, rejected at `at` (Unix seconds).

    `n` is its number in its spool. Of a line that is too long, `data` is the beginning; `length` (bytes) and `sha256`
    are of the whole line.
    """

    n: int
    at: float
    reason: str
    source: str
    line: int
    part: int
    data: bytes
    length: int
    sha256: bytes


Letter = DeadDelivery | DeadLine
