"""Mailgun's webhooks, and the same events in the form of its Events API.

https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import (
    ASYNC,
    HARD,
    SOFT,
    SYNC,
    BounceKind,
    classify,
    enhanced_status,
    failure,
)
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.provider_event import (
    JsonScalar,
    count,
    first,
    mailbox,
    provided,
    read_each,
    text,
    unless_skipped,
)
from hookline.relay.formats.typed_fields import shaped
from hookline.units import utc_text_of_unix

NAME = "mailgun"

_ENVELOPE = "event-data"
STATUSES: Mapping[str, str] = {
    "accepted": "sent",
    "delivered": "delivered",
    "failed permanent": "bounce",
    "rejected": "error",
}
OTHERS: tuple[str, ...] = ("failed temporary", "opened", "clicked", "unsubscribed", "complained", "stored")
_KINDS: dict[str, BounceKind] = {"hard": HARD, "soft": SOFT}
_REASONS = {"old": 24, "espblock": 50}  # given up after too many attempts; refused by the recipient's provider
_DAY = 24 * 3600


class _Headers(msgspec.Struct, frozen=True):
    message_id: str | None = msgspec.field(name="message-id", default=None)
    to: str | None = None


class _Message(msgspec.Struct, frozen=True):
    headers: _Headers | None = None


class _DeliveryStatus(msgspec.Struct, frozen=True):
    code: JsonScalar = None
    message: str | None = None
    description: str | None = None
    attempt: JsonScalar = msgspec.field(name="attempt-no", default=None)
    enhanced: str | None = msgspec.field(name="enhanced-code", default=None)
    bounce_code: str | None = msgspec.field(name="bounce-code", default=None)
    bounce_type: str | None = msgspec.field(name="bounce-type", default=None)


class _Flags(msgspec.Struct, frozen=True):
    delayed: bool | None = msgspec.field(name="is-delayed-bounce", default=None)


class _Reject(msgspec.Struct, frozen=True):
    reason: str | None = None


class _Event(msgspec.Struct, frozen=True):
    event: str
    id: str | None = None
    timestamp: JsonScalar = None
    severity: str | None = None
    reason: str | None = None
    recipient: str | None = None
    message: _Message | None = None
    delivery: _DeliveryStatus | None = msgspec.field(name="delivery-status", default=None)
    flags: _Flags | None = None
    reject: _Reject | None = None
    variables: Any = msgspec.field(name="user-variables", default=None)


_NO_DELIVERY = _DeliveryStatus()
_NO_HEADERS = _Headers()


def recognizes(value: object) -> bool:
    event = first(value)
    if event is None or "email" in event or "specversion" in event:
        return False
    if _ENVELOPE in event:
        return True
    named = "event" in event and "id" in event and "timestamp" in event
    return named and ("recipient" in event or isinstance(event.get("message"), dict))


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return read_each(value, hints, _event)


def _event(value: Any, hints: FieldMapping) -> ParsedEvent:
    if isinstance(value, dict) and _ENVELOPE in value:
        value, hints = value[_ENVELOPE], hints.within(value)
    read = shaped(value, _Event)
    if isinstance(read, Rejected):
        said = value if isinstance(value, dict) else {}
        return unless_skipped(read, _told(said.get("event"), said.get("severity")), STATUSES)
    told = _told(read.event, read.severity)
    status = STATUSES.get(told)
    if status is None:
        return Skipped("status_not_relayed", told)
    delivery = read.delivery or _NO_DELIVERY
    wording = delivery.message or delivery.description or (read.reject.reason if read.reject else None) or read.reason
    attempt = count(delivery.attempt)
    headers = (read.message.headers if read.message else None) or _NO_HEADERS
    return provided(
        value,
        hints,
        identity=_identity(read),
        status=status,
        recipient=read.recipient or _addressee(headers.to),
        variables=read.variables,
        time=utc_text_of_unix(read.timestamp),
        failure=_failure(read, delivery, status, wording),
        detail=wording,
        retry_count=attempt - 1 if attempt else None,
        execution_id=headers.message_id,
    )


def _told(event: Any, severity: object) -> Any:
    return f"{event} {severity}" if event == "failed" and severity else event


def _failure(read: _Event, delivery: _DeliveryStatus, status: str, wording: str | None) -> MessageFailure | None:
    if status == "error":
        return failure(None, SYNC, wording=wording)
    if status != "bounce":
        return None
    enhanced = enhanced_status(delivery.enhanced, delivery.bounce_code, delivery.message)
    code = classify(enhanced, wording, text(delivery.code), provider=_REASONS.get(read.reason or ""))
    return failure(
        code, ASYNC if read.flags and read.flags.delayed else SYNC, _KINDS.get(delivery.bounce_type or ""), wording
    )


def _identity(read: _Event) -> str | None:
    """Returns the identity. It includes the day, because Mailgun's ids are unique only within a day."""
    if not read.id:
        return None
    try:
        return f"mailgun:{read.id}:{int(float(read.timestamp or 0)) // _DAY}"
    except (ValueError, OverflowError):
        return f"mailgun:{read.id}"


def _addressee(header: str | None) -> str | None:
    """Returns the recipient from the header of a rejected message, or None if the header has several."""
    return None if header is None or "," in header else mailbox(header.strip())
