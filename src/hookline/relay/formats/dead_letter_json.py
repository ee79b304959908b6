"""Dead letters outside a spool: one JSON object per line, `schemas/dead-letter.v1.schema.json`.

A delivery keeps its id and its route, so that a later attempt has the same `webhook-id`. A file that is read back
can have been edited: every field is checked, and a contradiction is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from hookline.escaping import escape_json
from hookline.model import Address
from hookline.relay.delivery_record import (
    MAX_ATTEMPTS_KEPT,
    MAX_REASON_CHARACTERS,
    WHOLE_LINE,
    DeadDelivery,
    DeadLetter,
    DeadLine,
    FailedAttempt,
    Rejected,
    encode_history,
    parse_history,
)
from hookline.relay.event import Payload, encode_payload
from hookline.relay.formats.typed_fields import to_struct
from hookline.relay.ids import request_prefix
from hookline.relay.payload_v2 import EmailPayload, SmsPayload
from hookline.units import utc_text

KIND: Final = "dead-letter"
ENVELOPE_VERSION: Final = 1
MAX_TEXT_CHARACTERS: Final = 4096
MAX_ENVELOPE_BYTES: Final = 1024 * 1024  # the most that a spool keeps of one line

_INVALID_TIME = Rejected("time: not a moment with its offset, between 1970 and 9999")
AnyPayload = Payload | EmailPayload | SmsPayload

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARACTERS)]
_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Http = Annotated[int, msgspec.Meta(ge=100, le=999)]
_Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Channel = Literal["email", "sms"]
_Status = Literal["sent", "delivered", "bounce", "error"]


class _Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    time: datetime
    attempt: _Count
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)]
    http_status: _Http | None


class _Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    hookline: Literal["dead-letter"]
    version: Literal[1]
    id: _Id
    webhook: _Name
    request_id: _Name
    channel: _Channel
    status: _Status
    reason: _Text
    http_status: _Http | None
    attempts: _Count
    history: Annotated[list[_Attempt], msgspec.Meta(max_length=MAX_ATTEMPTS_KEPT)]
    source: _Text
    line: _Number
    time: datetime
    event_time: str | None
    detail: _Text | None
    payload: dict[str, Any]


class _Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    hookline: Literal["dead-letter"]
    version: Literal[1]
    id: Annotated[str, msgspec.Meta(pattern="^line-[0-9]{1,18}$")]
    reason: _Text
    source: _Text
    line: _Number
    part: _Count | None
    time: datetime
    bytes: _Number
    sha256: _Digest
    text: str | None = None
    base64: str | None = None


def dead_letter_document(letter: DeadLetter) -> dict[str, Any]:
    """Returns the exported form of the dead letter, except that the payload is bytes, exactly as sent."""
    match letter:
        case DeadDelivery():
            return {
                "hookline": KIND,
                "version": ENVELOPE_VERSION,
                "id": letter.id.hex(),
                "webhook": str(letter.webhook),
                "requestId": letter.request_id,
                "channel": letter.channel,
                "status": letter.status,
                "reason": letter.reason[:MAX_TEXT_CHARACTERS],
                "httpStatus": letter.http,
                "attempts": letter.attempts,
                "history": history_as_json(letter.history),
                "source": letter.source[:MAX_TEXT_CHARACTERS],
                "line": letter.line,
                "time": utc_text(letter.at, "microseconds"),
                "eventTime": letter.event_time,
                "detail": letter.detail and letter.detail[:MAX_TEXT_CHARACTERS],
                "payload": msgspec.Raw(letter.body),
            }
        case DeadLine():
            return {
                "hookline": KIND,
                "version": ENVELOPE_VERSION,
                "id": f"line-{letter.n}",
                "reason": letter.reason[:MAX_TEXT_CHARACTERS],
                "source": letter.source[:MAX_TEXT_CHARACTERS],
                "line": letter.line,
                "part": None if letter.part == WHOLE_LINE else letter.part,
                "time": utc_text(letter.at, "microseconds"),
                "bytes": letter.length,
                "sha256": letter.sha256.hex(),
                **_content(letter.data),
            }


def dead_letter_line(letter: DeadLetter) -> bytes:
    """Returns the dead letter as a line of NDJSON. Bytes of a damaged spool that are no UTF-8 become escapes."""
    line = msgspec.json.encode(dead_letter_document(letter))
    if line.isascii() and b"\x7f" not in line:
        return line + b"\n"
    return escape_json(line.decode("utf-8", "surrogateescape")).encode() + b"\n"


def history_as_json(history: str | None) -> list[dict[str, Any]]:
    """Returns the failed attempts, the oldest first. Attempt 0 marks an operator's replay."""
    return [
        {
            "time": utc_text(one.at, "microseconds"),
            "attempt": one.number,
            "reason": one.reason,
            "httpStatus": one.http,
        }
        for one in parse_history(history)
    ]


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def is_dead_letter(value: object) -> bool:
    """Returns whether a line's JSON is a dead letter, valid or not."""
    return isinstance(value, dict) and value.get("hookline") == KIND


def parse_exported_line(data: bytes) -> DeadLetter | Rejected:
    """Reads a line of an exported file, without its line end. Never raises, for any bytes."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Rejected("not JSON")
    if not is_dead_letter(value):
        return Rejected('not a dead letter: it lacks "hookline": "dead-letter"')
    return parse_dead_letter(value)


def parse_dead_letter(value: object) -> DeadLetter | Rejected:
    """Returns the dead letter in a line's JSON, or Rejected with its fault."""
    if isinstance(value, dict) and "payload" not in value and ("text" in value or "base64" in value):
        return _read_line(value)
    return _read_delivery(value)


def _read_delivery(value: object) -> DeadLetter | Rejected:
    fields = to_struct(value, _Delivery)
    if isinstance(fields, Rejected):
        return fields
    try:
        webhook = Address.parse(fields.webhook)
    except ValueError as error:
        return Rejected(f"webhook: {error}")
    payload = _payload(fields.payload)
    if isinstance(payload, Rejected):
        return payload
    if contradiction := _contradiction(fields, payload, webhook):
        return Rejected(contradiction)
    if not all(map(_is_storable_time, [fields.time, *(one.time for one in fields.history)])):
        return _INVALID_TIME
    history = [
        FailedAttempt(one.time.timestamp(), one.attempt, one.reason, one.http_status) for one in fields.history
    ]
    return DeadDelivery(
        id=bytes.fromhex(fields.id),
        at=fields.time.timestamp(),
        reason=fields.reason,
        http=fields.http_status,
        attempts=fields.attempts,
        history=encode_history(history),
        webhook=webhook,
        request_id=fields.request_id,
        channel=fields.channel,
        status=fields.status,
        event_time=fields.event_time,
        detail=fields.detail,
        source=fields.source,
        line=fields.line,
        body=encode_payload(payload),
    )


def _payload(value: dict[str, Any]) -> AnyPayload | Rejected:
    """Returns the payload in structure 2, which has one more field in its feedback, or in structure 1."""
    feedback = value.get("messageDeliveryFeedback")
    kind: type[AnyPayload] = Payload
    if "channelContext" in value:
        kind = SmsPayload
    elif isinstance(feedback, dict) and "numberOfMessageParts" in feedback:
        kind = EmailPayload
    fields = to_struct(value, kind)
    return Rejected(f"payload.{fields.reason}") if isinstance(fields, Rejected) else fields


def _contradiction(fields: _Delivery, payload: AnyPayload, webhook: Address) -> str | None:
    """Returns a contradiction between the payload's own address and names and the fields beside it, if any."""
    pairs = {
        "imsOrg": (webhook.organization, payload.organization),
        "sandbox.name": (webhook.sandbox, payload.sandbox.name),
        "requestId": (fields.request_id, payload.request_id),
        "channel": (fields.channel, payload.channel),
        "messageDeliveryFeedback.feedbackStatus.value": (fields.status, payload.feedback.status.value),
    }
    for name, (beside, within) in pairs.items():
        if beside != within:
            return f"payload.{name}: differs from the field beside the payload"
    if not bytes.fromhex(fields.id).startswith(request_prefix(fields.request_id)):
        return "id: it does not belong to this requestId"
    return None


def _read_line(value: object) -> DeadLetter | Rejected:
    fields = to_struct(value, _Line)
    if isinstance(fields, Rejected):
        return fields
    data = _data(fields)
    if isinstance(data, Rejected):
        return data
    if not _is_storable_time(fields.time):
        return _INVALID_TIME
    digest = bytes.fromhex(fields.sha256)
    whole = fields.bytes == len(data)
    if whole and (len(data) > MAX_ENVELOPE_BYTES or hashlib.sha256(data).digest() != digest):
        return Rejected("sha256: the line is not the one that was exported")
    if not whole and (fields.bytes <= MAX_ENVELOPE_BYTES or len(data) > MAX_ENVELOPE_BYTES):
        return Rejected("bytes: not the length of the line, and not that of a line that was too long")
    part = WHOLE_LINE if fields.part is None else fields.part
    return DeadLine(
        n=int(fields.id.removeprefix("line-")), at=fields.time.timestamp(), reason=fields.reason,
        source=fields.source, line=fields.line, part=part, data=data, length=fields.bytes, sha256=digest,
    )  # fmt: skip


def _data(fields: _Line) -> bytes | Rejected:
    if fields.text is not None and fields.base64 is None:
        return fields.text.encode()
    if fields.base64 is None or fields.text is not None:
        return Rejected("a rejected line has either a text or a base64")
    try:
        return base64.b64decode(fields.base64, validate=True)
    except (binascii.Error, ValueError):
        return Rejected("base64: not base64 (RFC 4648 §4)")


def _is_storable_time(moment: datetime) -> bool:
    """Returns whether the time can be stored as Unix seconds and formatted again, in any time zone."""
    try:
        return moment.tzinfo is not None and datetime.fromtimestamp(moment.timestamp(), UTC).year >= 1970
    except (ValueError, OverflowError):
        return False
