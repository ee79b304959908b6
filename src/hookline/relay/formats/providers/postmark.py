"""Postmark's delivery and bounce webhooks.

https://postmarkapp.com/developer/webhooks/bounce-webhook and https://postmarkapp.com/developer/webhooks/delivery-webhook
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
    classify,
    email_failure,
    enhanced_status,
    suppressed_by_sender,
)
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import (
    as_object,
    complete_event,
    recipient_of,
    skip_or_reject,
)
from hookline.relay.formats.typed_fields import JsonScalar, as_text, to_struct

NAME = "postmark"
DESCRIPTION = Description("email", "a bounce or delivery webhook of Postmark", "`RecordType`")

# With the kind that the type gives, if any.
_BOUNCES: dict[str, BounceKind | None] = {
    "HardBounce": "Hard",
    "SoftBounce": "Soft",
    "Transient": "Soft",
    "DnsError": "Soft",
    "DMARCPolicy": None,
    "Unknown": None,
}
_ERRORS = ("BadEmailAddress", "Blocked", "ManuallyDeactivated", "SMTPApiError", "TemplateRenderingFailed")
_BY_RECORD: Mapping[str, str] = {"Delivery": "delivered"}
_BY_TYPE: Mapping[str, str] = {**dict.fromkeys(_BOUNCES, "bounce"), **dict.fromkeys(_ERRORS, "error")}
# By `RecordType`, for bounces by `Type`.
STATUSES: Mapping[str, str] = {**_BY_RECORD, **_BY_TYPE}
OTHERS: tuple[str, ...] = (
    "Open",
    "Click",
    "SpamComplaint",
    "SubscriptionChange",
    "Inbound",
    "AddressChange",
    "AutoResponder",
    "ChallengeVerification",
    "InboundError",
    "OpenRelayTest",
    "SpamNotification",
    "Subscribe",
    "Unconfirmed",
    "Unsubscribe",
    "VirusNotification",
)
# The class of a type if the details contain no status. A hard bounce is any permanent failure.
_CLASSES = {
    "HardBounce": 30,
    "SoftBounce": 20,
    "Transient": 70,
    "DnsError": 21,
    "DMARCPolicy": 50,
    "Unknown": 1,
    "BadEmailAddress": 10,
    "Blocked": 50,
}


class _Event(msgspec.Struct, frozen=True):
    record_type: str = msgspec.field(name="RecordType")
    message_id: str | None = msgspec.field(name="MessageID", default=None)
    id: JsonScalar = msgspec.field(name="ID", default=None)
    type: str | None = msgspec.field(name="Type", default=None)
    recipient: str | None = msgspec.field(name="Recipient", default=None)
    email: str | None = msgspec.field(name="Email", default=None)
    delivered_at: str | None = msgspec.field(name="DeliveredAt", default=None)
    bounced_at: str | None = msgspec.field(name="BouncedAt", default=None)
    description: str | None = msgspec.field(name="Description", default=None)
    details: str | None = msgspec.field(name="Details", default=None)
    metadata: Any = msgspec.field(name="Metadata", default=None)


def recognizes(value: object) -> bool:
    return "RecordType" in as_object(value)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return [_event(value, mapping)]


def _event(value: Any, mapping: FieldMapping) -> ParsedEvent:
    event = to_struct(value, _Event)
    if isinstance(event, Rejected):
        record = value.get("RecordType") if isinstance(value, dict) else None
        bounced = record == "Bounce"
        return skip_or_reject(event, value.get("Type") if bounced else record, _BY_TYPE if bounced else _BY_RECORD)
    bounced = event.record_type == "Bounce"
    name = event.type or "Bounce" if bounced else event.record_type
    status = (_BY_TYPE if bounced else _BY_RECORD).get(name)
    if status is None:
        return Skipped("status_not_relayed", name)
    recipient = recipient_of(event.recipient or event.email, value, mapping)
    parsed = Event(
        identity=_identity(event, recipient),
        status=status,
        time=event.bounced_at if bounced else event.delivered_at,
        failure=_failure(event, status),
        detail=event.details or event.description,
        execution_id=event.message_id,
    )
    return complete_event(parsed, value, mapping, recipient=recipient, variables=event.metadata)


def _failure(event: _Event, status: str) -> MessageFailure | None:
    kind = event.type or ""
    wording = event.description or event.details
    if status == "bounce":
        code = classify(enhanced_status(event.details), event.details, provider=_CLASSES[kind])
        return email_failure(code, "sync", _BOUNCES[kind], wording)
    if kind == "ManuallyDeactivated":
        return suppressed_by_sender()
    return email_failure(_CLASSES.get(kind), "sync", wording=wording) if status == "error" else None


def _identity(event: _Event, recipient: str | None) -> str | None:
    """Returns the identity. A bounce has its own id; a delivery is unique for a recipient of a message."""
    if event.record_type == "Bounce":
        bounce = as_text(event.id)
        return f"postmark:{bounce}" if bounce and bounce != "0" else None
    return f"postmark:{event.message_id}:{event.record_type}:{recipient}" if event.message_id else None
