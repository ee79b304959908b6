"""The values that parsing and routing produce, a delivery's history of failed attempts, and dead letters.

The history is a JSON text beside the delivery, or None before the first failure. `trace` and `dead show` print it.
The first few and the latest of many attempts are kept, so that an endpoint that is down for days costs a bounded
number of bytes for each delivery.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hookline.model import Address

MAX_DETAIL_CHARACTERS: Final = 500
WHOLE_LINE: Final = -1
"""Replaces the number of an event in a line: the value is about the whole line."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event to one webhook: its route and payload bytes, fixed for every attempt.

    `id` is 16 bytes, the same in every attempt and every re-run. `order_key` is a signed 64-bit hash of address,
    message execution and primary identity, or None if the event has no message execution. `execution_id` names that
    message execution, for `trace`. `detail` is the provider's
    text, at most MAX_DETAIL_CHARACTERS; it is for people and is not sent.
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
    execution_id: str | None = None


class Skipped(msgspec.Struct, frozen=True):
    """No webhook receives the event, by rule. `reason`: a key of `routing.SKIP_REASONS`. `name`: its status."""

    reason: str
    name: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A line or an event that cannot be read or routed. The dead letters keep it whole. `reason` is for people."""

    reason: str


RoutingResult = Delivery | Skipped | Rejected


class Line(msgspec.Struct, frozen=True):
    """One line of a source without its terminator. `number` counts from 1.

    For a line over the limit, `data` is only the beginning; `length` (bytes) and `sha256` are of the whole line.
    """

    number: int
    data: bytes
    length: int
    sha256: bytes | None = None


FIRST_ATTEMPTS_KEPT: Final = 4
MAX_ATTEMPTS_KEPT: Final = 20
MAX_REASON_CHARACTERS: Final = 200
REPLAYED: Final = "replayed"


class FailedAttempt(msgspec.Struct, frozen=True, array_like=True):
    """One failed attempt, or the time of a replay (`number` 0). `at` is in Unix seconds."""

    at: float
    number: int
    reason: str
    http: int | None = None


class _Execution(msgspec.Struct):
    id: str | None = msgspec.field(name="messageExecutionID", default=None)


class _PayloadExecution(msgspec.Struct):
    execution: _Execution | None = msgspec.field(name="messageExecution", default=None)


_execution_decoder = msgspec.json.Decoder(_PayloadExecution)


def execution_id_of(body: bytes) -> str | None:
    """Returns the message execution that a payload names, if it names one."""
    try:
        found = _execution_decoder.decode(body).execution
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if found is None else found.id


_decoder = msgspec.json.Decoder(list[FailedAttempt])
_encoder = msgspec.json.Encoder()


def parse_history(history: str | None) -> list[FailedAttempt]:
    """Returns the failed attempts, the oldest first. An invalid text must not stop a delivery: it has none."""
    try:
        return [] if history is None else _decoder.decode(history)
    except msgspec.DecodeError:
        return []


def add_failure(history: str | None, failed: FailedAttempt) -> str:
    one = msgspec.structs.replace(failed, at=round(failed.at, 3), reason=failed.reason[:MAX_REASON_CHARACTERS])
    all_of_them = [*parse_history(history), one]
    if len(all_of_them) > MAX_ATTEMPTS_KEPT:
        del all_of_them[FIRST_ATTEMPTS_KEPT]
    return _encoder.encode(all_of_them).decode()


def add_replay(history: str | None, at: float) -> str | None:
    """Returns the history with a replay at `at` (Unix seconds) at its end, or None if it contains that replay."""
    before = parse_history(history)
    if any(one.number == 0 and one.at == round(at, 3) for one in before):
        return None
    return add_failure(history, FailedAttempt(at, 0, REPLAYED))


def encode_history(failed: Sequence[FailedAttempt]) -> str | None:
    return _encoder.encode(failed).decode() if failed else None


class DeadDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A refused or exhausted delivery, since `at` (Unix seconds). `body` is the payload."""

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
    """A line (`part` is WHOLE_LINE), or the event number `part` (from 0) of it, rejected at `at` (Unix seconds).

    `n` is its number in its spool. For a line over the limit, `data` is the beginning; `length` (bytes) and `sha256`
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
