"""Checks of a damaged spool's rows: only a row that a relay can have written is saved.

A row states several facts twice, and both must agree: its id begins with the hash of its request, its payload names
its request, channel and status, a rejected line has its hash. A changed bit in a text that occurs once cannot be
detected. Pure functions of values; texts of a row are bytes, because a damaged one may not be UTF-8.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from hookline.model import Address
from hookline.relay.delivery_record import WHOLE_LINE
from hookline.relay.ids import request_prefix
from hookline.relay.spool.spool import State

Row = Mapping[str, object]
Check = Callable[[object], object]


class InvalidRow(ValueError):
    """No relay can have written this row."""


class _Sandbox(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    value: str


class _Feedback(msgspec.Struct):
    status: _Status = msgspec.field(name="feedbackStatus")


class _Payload(msgspec.Struct):
    """The facts of a payload that its row has too."""

    request_id: str = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: _Sandbox
    channel: str
    feedback: _Feedback = msgspec.field(name="messageDeliveryFeedback")


_payload = msgspec.json.Decoder(_Payload)


def valid_delivery(row: Row) -> tuple[dict[str, object], Address | None]:
    """The row to save, and the webhook that its payload names (None: a record, which has no payload).

    A state that the rest of the row contradicts becomes pending, because sending twice is better than not sending.
    Raises InvalidRow.
    """
    valid = _checked(row, _DELIVERY)
    request_id, body = str(valid["request_id"]), valid["body"]
    identity = valid["id"]
    if not isinstance(identity, bytes) or len(identity) != 16 or not identity.startswith(request_prefix(request_id)):
        raise InvalidRow("id of another request")
    payload = _decoded(body) if isinstance(body, bytes) else None
    state = _state(row["state"], settled=valid["settled"] is not None, body=payload is not None)
    if state is State.PENDING:
        valid["settled"] = None
    else:
        valid["due"] = None
    if state is State.DEAD and not valid["reason"]:
        valid["reason"] = "the reason is lost"
    valid["state"] = int(state)
    if payload is None:
        return valid, None
    stated = (payload.request_id, payload.channel, payload.feedback.status.value)
    if stated != (request_id, valid["channel"], valid["status"]):
        raise InvalidRow("payload of another event")
    return valid, Address(payload.organization, payload.sandbox.name)


def valid_line(row: Row) -> dict[str, object]:
    """The rejected line to save. Raises InvalidRow."""
    valid = _checked(row, _LINE)
    data, digest, length = _bytes(row["data"]), _bytes(row["sha256"]), _count(row["length"])
    if length < len(data) or len(digest) != 32:
        raise InvalidRow("length")
    if length == len(data) and hashlib.sha256(data).digest() != digest:
        raise InvalidRow("hash")
    return valid


def valid_webhook(row: Row) -> dict[str, object]:
    """The webhook to save. Raises InvalidRow."""
    valid = _checked(row, _WEBHOOK)
    if not valid["organization"] or not valid["sandbox"] or "/" in str(valid["sandbox"]):
        raise InvalidRow("address")
    return valid


def valid_position(row: Row) -> dict[str, object]:
    """The position to save. Raises InvalidRow."""
    return _checked(row, _POSITION)


def _state(stored: object, *, settled: bool, body: bool) -> State:
    if body:
        return State.DEAD if stored == State.DEAD and settled else State.PENDING
    if not settled:
        raise InvalidRow("no payload")
    return State.DISCARDED if stored == State.DISCARDED else State.DELIVERED


def _decoded(body: bytes) -> _Payload:
    try:
        return _payload.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRow("payload") from error


def _checked(row: Row, checks: Mapping[str, Check]) -> dict[str, object]:
    return {name: check(row[name]) for name, check in checks.items()}


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidRow("bytes")
    return value


def _text(value: object) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise InvalidRow("text") from error


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise InvalidRow("integer")
    return value


def _count(value: object) -> int:
    if (number := _integer(value)) < 0:
        raise InvalidRow("count")
    return number


def _flag(value: object) -> int:
    if value not in (0, 1):
        raise InvalidRow("flag")
    return int(bool(value))


def _number(value: object) -> float:
    """SQLite stores a real number without a fraction as an integer."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRow("number")
    return float(value)


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


# `state` is decided from the whole row.
_DELIVERY: Final[dict[str, Check]] = {
    "seq": _integer, "id": _bytes, "webhook": _count, "due": _or_none(_number), "order_key": _or_none(_integer),
    "attempts": _count, "tries": _count, "refusals": _count, "since": _number, "settled": _or_none(_number),
    "request_id": _text, "channel": _text, "status": _text, "event_time": _or_none(_text), "source": _text,
    "line": _count, "reason": _or_none(_text), "http": _or_none(_count), "detail": _or_none(_text),
    "history": _or_none(_text), "body": _or_none(_bytes),
}  # fmt: skip
_LINE: Final[dict[str, Check]] = {
    "n": _count, "at": _number, "source": _text, "line": _count,
    "part": lambda value: value if value == WHOLE_LINE else _count(value),
    "reason": _text, "length": _count, "sha256": _bytes, "data": _bytes, "again": _flag,
}  # fmt: skip
_WEBHOOK: Final[dict[str, Check]] = {
    "n": _count, "organization": _text, "sandbox": _text, "disabled": _flag, "paused": _or_none(_number),
    "held": _or_none(_number), "idle": _number, "stopped": _or_none(_text), "stopped_as": _or_none(_text),
    "not_before": _or_none(_number), "hurried": _or_none(_number),
}  # fmt: skip
_POSITION: Final[dict[str, Check]] = {
    "key": _bytes, "device": _count, "inode": _count, "name": _text, "line": _count, "offset": _count,
    "head_length": _count, "head_hash": _bytes, "tail_length": _count, "tail_hash": _bytes, "packed": _count,
    "at": _number,
}  # fmt: skip
