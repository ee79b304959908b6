"""What becomes of an event before it is delivered: the values that reading and routing hand to the spool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hookline.model import Address

MAX_DETAIL_CHARACTERS: Final = 500
WHOLE_LINE: Final = -1
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


RoutingResult = Delivery | Skipped | Rejected


class Line(msgspec.Struct, frozen=True):
    """One line of a source without its terminator. `number` counts from 1.

    Of a line over the limit `data` is the beginning only; `length` (bytes) and `sha256` are of the whole line.
    """

    number: int
    data: bytes
    length: int
    sha256: bytes | None = None


# The failed attempts of one delivery, as they are kept beside it: what `trace` and `dead show` tell.
#
# A text of JSON, None while nothing has failed. Of many attempts the first few and the latest are kept, so that an
# endpoint that is down for days costs a bounded number of bytes for each delivery.
FIRST_ATTEMPTS_KEPT: Final = 4
LAST_ATTEMPTS_KEPT: Final = 20
MAX_REASON_CHARACTERS: Final = 200
REPLAYED: Final = "replayed"


class FailedAttempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt that was not accepted, or the moment of a replay (`number` 0). `at` is Unix time in seconds."""

    at: float
    number: int
    reason: str
    http: int | None = None


_decoder = msgspec.json.Decoder(list[FailedAttempt])
_encoder = msgspec.json.Encoder()


def parse_history(history: str | None) -> list[FailedAttempt]:
    """The oldest first. A text that is none counts as no history: nobody's delivery may fail for that."""
    try:
        return [] if history is None else _decoder.decode(history)
    except msgspec.DecodeError:
        return []


def add_failure(history: str | None, failed: FailedAttempt) -> str:
    """The history with one more attempt at its end."""
    one = msgspec.structs.replace(failed, at=round(failed.at, 3), reason=failed.reason[:MAX_REASON_CHARACTERS])
    all_of_them = [*parse_history(history), one]
    if len(all_of_them) > LAST_ATTEMPTS_KEPT:
        del all_of_them[FIRST_ATTEMPTS_KEPT]
    return _encoder.encode(all_of_them).decode()


def add_replay(history: str | None, at: float) -> str | None:
    """The history with the moment of a replay (Unix seconds) at its end; None when that replay is in it already."""
    before = parse_history(history)
    if any(one.number == 0 and one.at == round(at, 3) for one in before):
        return None
    return add_failure(history, FailedAttempt(at, 0, REPLAYED))


def encode_history(failed: Sequence[FailedAttempt]) -> str | None:
    """The text that `read_history` reads."""
    return _encoder.encode(failed).decode() if failed else None


# Dead letters as values: what a spool keeps of what a relay will not try again by itself.
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


DeadLetter = DeadDelivery | DeadLine
