"""Rows of a damaged spool: which of them are what a relay has written, as far as that can be told.

A damaged row may look like one. So whatever a row says twice must agree: its id begins with its request, its payload
names its request and its webhook, a rejected line has its hash. What a flipped bit has changed within a text that is
said once, nobody can see. Pure functions of values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hookline.model import Address
from hookline.relay.fates import WHOLE
from hookline.relay.identity import PREFIX_BYTES, request_prefix
from hookline.relay.spool.port import State

# The columns of the tables today, in their order.
DELIVERY: Final = (
    "seq", "id", "webhook", "state", "due", "order_key", "attempts", "tries", "refusals", "since", "settled",
    "request_id", "channel", "status", "event_time", "source", "line", "reason", "http", "detail", "history", "body",
)  # fmt: skip
REJECTED: Final = ("n", "at", "source", "line", "part", "reason", "length", "sha256", "data", "again")
WEBHOOK: Final = (
    "n", "organization", "sandbox", "disabled", "paused", "held", "idle", "stopped", "stopped_as", "not_before",
    "hurried",
)  # fmt: skip

Row = Mapping[str, object]


class Unsound(ValueError):
    """This is no such row, or not any more."""


class _Sandbox(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    value: str


class _Feedback(msgspec.Struct):
    status: _Status = msgspec.field(name="feedbackStatus")


class _Payload(msgspec.Struct):
    """What a payload says that its row says too."""

    request_id: str = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: _Sandbox
    channel: str
    feedback: _Feedback = msgspec.field(name="messageDeliveryFeedback")


_payload = msgspec.json.Decoder(_Payload)


def delivery(row: Row) -> tuple[dict[str, object], Address | None]:
    """The row as the table of today has it, and the webhook that its payload names. Raises Unsound.

    A state that the rest of the row contradicts is taken for pending: sent twice is better than not at all.
    """
    body = None if row["body"] is None else _bytes(row["body"])
    said = None if body is None else _said(body)
    request_id, channel, status = _text(row["request_id"]), _text(row["channel"]), _text(row["status"])
    if said is not None and (request_id, channel, status) != (
        said.request_id,
        said.channel,
        said.feedback.status.value,
    ):
        raise Unsound("payload of another event")
    settled = _number_or_none(row["settled"])
    state = _state(row["state"], settled=settled is not None, body=body is not None)
    pending = state is State.PENDING
    reason = _text_or_none(row["reason"])
    sound = {
        "seq": _integer(row["seq"]),
        "id": _id(row["id"], request_id, old="history" not in row),
        "webhook": _count(row["webhook"]),
        "state": int(state),
        "due": _number_or_none(row["due"]) if pending else None,
        "order_key": None if row["order_key"] is None else _integer(row["order_key"]),
        "attempts": _count(row["attempts"]),
        "tries": _count(row["tries"]),
        "refusals": _count(row["refusals"]),
        "since": _number(row["since"]),
        "settled": None if pending else settled,
        "request_id": request_id,
        "channel": channel,
        "status": status,
        "event_time": _text_or_none(row["event_time"]),
        "source": _text(row["source"]),
        "line": _count(row["line"]),
        "reason": reason or "the reason is lost" if state is State.DEAD else reason,
        "http": None if row["http"] is None else _count(row["http"]),
        "detail": _text_or_none(row.get("detail")),
        "history": _text_or_none(row.get("history")),
        "body": body,
    }
    return sound, None if said is None else Address(said.organization, said.sandbox.name)


def _state(said: object, *, settled: bool, body: bool) -> State:
    if body:
        return State.DEAD if said == State.DEAD and settled else State.PENDING
    if not settled:
        raise Unsound("no payload")
    return State.DISCARDED if said == State.DISCARDED else State.DELIVERED


def rejected(row: Row) -> dict[str, object]:
    """Raises Unsound."""
    data, digest, length = _bytes(row["data"]), _bytes(row["sha256"]), _count(row["length"])
    if length < len(data) or len(digest) != 32:
        raise Unsound("length")
    if length == len(data) and hashlib.sha256(data).digest() != digest:
        raise Unsound("hash")
    return {
        "n": _count(row["n"]),
        "at": _number(row["at"]),
        "source": _text(row["source"]),
        "line": _count(row["line"]),
        "part": WHOLE if row["part"] == WHOLE else _count(row["part"]),
        "reason": _text(row["reason"]),
        "length": length,
        "sha256": digest,
        "data": data,
        "again": _flag(row["again"]),
    }


def webhook(row: Row) -> dict[str, object]:
    """Raises Unsound. One of the first format has no standing but `held`: it was disabled then."""
    organization, sandbox = _text(row["organization"]), _text(row["sandbox"])
    if not organization or not sandbox or "/" in sandbox:
        raise Unsound("address")
    held = _number_or_none(row["held"])
    return {
        "n": _count(row["n"]),
        "organization": organization,
        "sandbox": sandbox,
        "disabled": _flag(row["disabled"]) if "disabled" in row else int(held is not None),
        "paused": _number_or_none(row.get("paused")),
        "held": held,
        "idle": _number(row.get("idle", 0.0)),
        "stopped": _text_or_none(row.get("stopped")),
        "stopped_as": _text_or_none(row.get("stopped_as")),
        "not_before": _number_or_none(row.get("not_before")),
        "hurried": _number_or_none(row.get("hurried")),
    }


def position(row: Row) -> dict[str, object]:
    """Raises Unsound. One of the first format has neither key nor tail."""
    sound: dict[str, object] = {
        name: _count(row[name]) for name in ("device", "inode", "line", "offset", "head_length")
    }
    later = {"key": _bytes(row.get("key", b"")), "tail_hash": _bytes(row.get("tail_hash", b""))} | {
        name: _count(row.get(name, 0)) for name in ("tail_length", "packed")
    }
    return sound | later | {
        "name": _text(row["name"]), "head_hash": _bytes(row["head_hash"]), "at": _number(row["at"]),
    }  # fmt: skip


def carved_delivery(number: int, values: Sequence[object]) -> Row:
    """The columns of a row whose table is not known. Raises Unsound where it cannot be a delivery."""
    if len(values) == len(DELIVERY) - 2:
        names = [name for name in DELIVERY if name not in ("detail", "history")]
    elif len(values) == len(DELIVERY):
        names = [*DELIVERY[:-3], *(_MIGRATED if _is_migrated(values) else DELIVERY[-3:])]
    else:
        raise Unsound("columns")
    return {**dict(zip(names, values, strict=True)), "seq": number}


# In a spool that was migrated from the first format, the payload comes before what was added to the table.
_MIGRATED: Final = ("body", "detail", "history")


def _is_migrated(values: Sequence[object]) -> bool:
    """A payload is an object of JSON, a history a list of lists, and of a record there is no payload."""
    first, last = values[-3], values[-1]
    if isinstance(last, bytes):
        return last.startswith(b"[[")
    return isinstance(first, bytes) and first.startswith(b"{") and values[DELIVERY.index("state")] in (0, 2)


def _said(body: bytes) -> _Payload:
    try:
        return _payload.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unsound("payload") from error


def _id(value: object, request_id: str, *, old: bool) -> bytes:
    identity = _bytes(value)
    prefix = request_prefix(request_id)
    if len(identity) != 16:
        raise Unsound("id")
    if identity.startswith(prefix):
        return identity
    if not old:
        raise Unsound("id of another request")
    return prefix + identity[: 16 - PREFIX_BYTES]  # as migrating.py does it


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Unsound("bytes")
    return value


def _text(value: object) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Unsound("text") from error


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise Unsound("integer")
    return value


def _count(value: object) -> int:
    number = _integer(value)
    if number < 0:
        raise Unsound("count")
    return number


def _flag(value: object) -> int:
    if value not in (0, 1):
        raise Unsound("flag")
    return int(bool(value))


def _number(value: object) -> float:
    """SQLite keeps a real number without a fraction as an integer."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise Unsound("number")
    return float(value)


def _number_or_none(value: object) -> float | None:
    return None if value is None else _number(value)
