"""Mailgun's webhooks, and the same events in the form of its Events API.

https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import (
    BounceKind,
    Category,
    classify,
    email_failure,
    enhanced_status,
    suppressed_by_sender,
)
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import as_object, complete_event, skip_or_reject
from hookline.relay.formats.typed_fields import JsonScalar, as_count, as_text, mailbox, to_struct
from hookline.units import utc_text_of_unix

NAME = "mailgun"
DESCRIPTION = Description(
    "email",
    "a Mailgun webhook, or its event alone",
    "`event-data`, or `event`, `id` and `timestamp` with `recipient` or `message`",
)

_ENVELOPE = "event-data"
STATUSES: Mapping[str, str] = {
    "accepted": "sent",
    "delivered": "delivered",
    "failed permanent": "bounce",
    "failed suppressed": "error",
    "rejected": "error",
}
OTHERS: tuple[str, ...] = ("failed temporary", "opened", "clicked", "unsubscribed", "complained", "stored")
_KINDS: dict[str, BounceKind] = {"hard": "Hard", "soft": "Soft"}
_REASONS = {"old": 24, "espblock": 50}  # given up after too many attempts; refused by the recipient's provider
_SUPPRESSED = "suppress-"  # suppress-bounce, suppress-complaint, suppress-unsubscribe
_SUPPRESSED_CODES = ("605", "606", "607")  # the same, also with the reasons "hardfail" and "generic"
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
    event = as_object(value)
    if "email" in event or "specversion" in event:
        return False
    if _ENVELOPE in event:
        return True
    named = "event" in event and "id" in event and "timestamp" in event
    return named and ("recipient" in event or isinstance(event.get("message"), dict))


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return [_event(value, mapping)]


def _event(value: Any, mapping: FieldMapping) -> ParsedEvent:
    if isinstance(value, dict) and _ENVELOPE in value:
        value, mapping = value[_ENVELOPE], mapping.within(value)
    event = to_struct(value, _Event)
    if isinstance(event, Rejected):
        fields = value if isinstance(value, dict) else {}
        return skip_or_reject(
            event, _status_name(fields.get("event"), fields.get("severity"), fields.get("reason")), STATUSES
        )
    delivery = event.delivery or _NO_DELIVERY
    code = as_text(delivery.code)
    name = _status_name(event.event, event.severity, "suppress-" if code in _SUPPRESSED_CODES else event.reason)
    status = STATUSES.get(name)
    if status is None:
        return Skipped("status_not_relayed", name)
    refusal = event.reject.reason if event.reject else None
    wording = delivery.message or delivery.description or refusal or event.reason
    attempt = as_count(delivery.attempt)
    headers = (event.message.headers if event.message else None) or _NO_HEADERS
    parsed = Event(
        identity=_identity(event),
        status=status,
        time=utc_text_of_unix(event.timestamp),
        failure=_failure(event, delivery, status, wording),
        detail=wording,
        retry_count=attempt - 1 if attempt else None,
        execution_id=headers.message_id,
    )
    # The header of a rejected message. With several recipients, it identifies none.
    header = None if headers.to is None or "," in headers.to else mailbox(headers.to.strip())
    return complete_event(parsed, value, mapping, recipient=event.recipient or header, variables=event.variables)


def _status_name(event: Any, severity: object, reason: object) -> Any:
    if event != "failed" or not severity:
        return event
    suppressed = severity == "permanent" and isinstance(reason, str) and reason.startswith(_SUPPRESSED)
    return "failed suppressed" if suppressed else f"failed {severity}"


def _failure(event: _Event, delivery: _DeliveryStatus, status: str, wording: str | None) -> MessageFailure | None:
    if status == "error":
        return suppressed_by_sender() if event.event == "failed" else email_failure(None, "sync", wording=wording)
    if status != "bounce":
        return None
    enhanced = enhanced_status(delivery.enhanced, delivery.bounce_code, delivery.message)
    code = classify(enhanced, wording, as_text(delivery.code), provider=_REASONS.get(event.reason or ""))
    category: Category = "async" if event.flags and event.flags.delayed else "sync"
    kind = _KINDS.get(delivery.bounce_type or "") or _kind(event, enhanced or as_text(delivery.code))
    return email_failure(code, category, kind, wording)


def _kind(event: _Event, status: str | None) -> BounceKind | None:
    """Returns the kind of a permanent failure. A message that was given up or blocked tests no address."""
    if event.reason in _REASONS:
        return None
    return "Soft" if status and status[0] == "4" else "Hard"


def _identity(event: _Event) -> str | None:
    """Returns the identity. It includes the day, because Mailgun's ids are unique only within a day."""
    if not event.id:
        return None
    try:
        return f"mailgun:{event.id}:{int(float(event.timestamp or 0)) // _DAY}"
    except (ValueError, OverflowError):
        return f"mailgun:{event.id}"
