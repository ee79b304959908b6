"""Checks of a damaged spool's rows: recovery saves only rows that a relay can have written.

A row states several facts twice, and both must agree: its id begins with the hash of its request, its payload names
its request, channel and status, a rejected line has its hash. A changed bit in a text that occurs once cannot be
detected. Pure functions of values; texts of a row are bytes, because a damaged one may not be UTF-8.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from hookline.model import Address
from hookline.relay.delivery_record import WHOLE_LINE
from hookline.relay.event import Sandbox, Status
from hookline.relay.ids import request_prefix
from hookline.relay.spool.admin import FORGOTTEN
from hookline.relay.spool.spool_values import State

Row = dict[str, Any]

_FLAGS: Final = {"disabled", "replayed"}
_SIGNED: Final = {"seq", "order_key", "part"}  # all other integers are counts


class InvalidRow(ValueError):
    """No relay can have written this row."""


class Column(NamedTuple):
    name: str
    kind: str
    required: bool


class _Feedback(msgspec.Struct):
    status: Status = msgspec.field(name="feedbackStatus")


class _Payload(msgspec.Struct):
    """The facts of a payload that its row has too."""

    request_id: str = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: Sandbox
    channel: str
    feedback: _Feedback = msgspec.field(name="messageDeliveryFeedback")


_payload = msgspec.json.Decoder(_Payload)


def valid_values(row: Row, columns: Sequence[Column]) -> Row:
    """The row's values, if their types fit the columns; texts are decoded. Raises InvalidRow."""
    return {column.name: _valid_value(row[column.name], column) for column in columns if column.name in row}


def _valid_value(value: object, column: Column) -> object:
    match column.kind, value:
        case _ if column.name == "state":  # valid_delivery decides it from the whole row
            return value
        case _, None if not column.required:
            return None
        case "TEXT", bytes(text):
            try:
                return text.decode()
            except UnicodeDecodeError as error:
                raise InvalidRow(column.name) from error
        case "BLOB", bytes():
            return value
        case "INTEGER", int(number) if _is_in_range(number, column.name):
            return number
        case "REAL", int(number) | float(number) if math.isfinite(number):  # 2.0 is stored as an integer
            return float(number)
    raise InvalidRow(column.name)


def _is_in_range(number: int, name: str) -> bool:
    return number in (0, 1) if name in _FLAGS else number >= 0 or name in _SIGNED


def valid_delivery(row: Row) -> tuple[Row, Address | None]:
    """The delivery to save with its `body`, and the webhook that its payload names (None: a record, which has none).

    A state that the rest of the row contradicts becomes pending, because sending twice is better than not sending.
    Raises InvalidRow.
    """
    request_id, body, settled = row["request_id"], row["body"], row["settled"]
    if len(row["id"]) != 16 or not (row["id"].startswith(request_prefix(request_id)) or request_id == FORGOTTEN):
        raise InvalidRow("id of another request")
    if body is None:
        if settled is None or row["state"] == State.DEAD:
            raise InvalidRow("no payload")
        state = State.DISCARDED if row["state"] == State.DISCARDED else State.DELIVERED
        return {**row, "due": None, "state": int(state)}, None
    try:
        payload = _payload.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRow("payload") from error
    stated = (payload.request_id, payload.channel, payload.feedback.status.value)
    if stated != (request_id, row["channel"], row["status"]):
        raise InvalidRow("payload of another event")
    address = Address(payload.organization, payload.sandbox.name)
    if row["state"] == State.DEAD and settled is not None:
        reason = row["reason"] or "the reason is lost"
        return {**row, "due": None, "state": int(State.DEAD), "reason": reason}, address
    return {**row, "settled": None, "state": int(State.PENDING)}, address


def valid_line(row: Row) -> Row:
    """The rejected line to save. Raises InvalidRow."""
    data, digest, length = row["data"], row["sha256"], row["length"]
    if row["part"] < WHOLE_LINE or length < len(data) or len(digest) != 32:
        raise InvalidRow("length")
    if length == len(data) and hashlib.sha256(data).digest() != digest:
        raise InvalidRow("hash")
    return row
