"""SendGrid's Event Webhook: a list of events, or one per line.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import (
    classify,
    email_failure,
    enhanced_status,
    is_permanent,
    suppressed_by_sender,
)
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import as_object, complete_event, skip_or_reject
from hookline.relay.formats.typed_fields import JsonScalar, as_count, as_text, to_struct
from hookline.units import utc_text_of_unix

NAME = "sendgrid"
DESCRIPTION = Description(
    "email",
    "an event of SendGrid's Event Webhook, or the posted list of events",
    "`event` and `email`, with `sg_event_id`, `sg_message_id` or `timestamp`",
)

STATUSES: Mapping[str, str] = {"processed": "sent", "delivered": "delivered", "bounce": "bounce", "dropped": "error"}
# `bounce_classification` values with a class of the platform; `type` of a message that expired.
_CLASSES = {
    "Invalid Address": 10,
    "Content": 52,
    "Reputation": 50,
    "Frequency or Volume Too High": 50,
    "Unclassified": 1,
}
OTHERS: tuple[str, ...] = (
    "deferred",
    "open",
    "click",
    "spamreport",
    "unsubscribe",
    "group_unsubscribe",
    "group_resubscribe",
    "account_status_change",
)
_EXPIRED = 24
_DROPPED = {"Invalid": 10, "Spam Content": 52}
_SUPPRESSED = ("Bounced Address", "Unsubscribed Address", "Spam Reporting Address")


class _Event(msgspec.Struct, frozen=True):
    event: str
    email: str | None = None
    timestamp: JsonScalar = None
    event_id: JsonScalar = msgspec.field(name="sg_event_id", default=None)
    message_id: JsonScalar = msgspec.field(name="sg_message_id", default=None)
    reason: str | None = None
    response: str | None = None
    status: JsonScalar = None
    attempt: JsonScalar = None
    type: str | None = None
    classification: str | None = msgspec.field(name="bounce_classification", default=None)


def recognizes(value: object) -> bool:
    event = as_object(value)
    named = "event" in event and "email" in event
    return named and ("sg_event_id" in event or "sg_message_id" in event or "timestamp" in event)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return [_event(value, mapping)]


def _event(value: Any, mapping: FieldMapping) -> ParsedEvent:
    event = to_struct(value, _Event)
    if isinstance(event, Rejected):
        return skip_or_reject(event, value.get("event") if isinstance(value, dict) else None, STATUSES)
    status = STATUSES.get(event.event)
    if status is None:
        return Skipped("status_not_relayed", event.event)
    event_id = as_text(event.event_id)
    parsed = Event(
        identity=f"sendgrid:{event_id}" if event_id else None,
        status=status,
        time=utc_text_of_unix(event.timestamp),
        failure=_failure(event, status),
        detail=event.reason or event.response,
        retry_count=as_count(event.attempt),
        execution_id=as_text(event.message_id),
    )
    # Custom arguments are among the event's own fields.
    return complete_event(parsed, value, mapping, recipient=event.email, variables=value)


def _failure(event: _Event, status: str) -> MessageFailure | None:
    if status == "error":
        if event.reason in _SUPPRESSED:
            return suppressed_by_sender()
        return email_failure(_DROPPED.get(event.reason or ""), "sync", wording=event.reason)
    if status != "bounce":
        return None
    enhanced = enhanced_status(as_text(event.status), event.reason)
    permanent = event.type == "bounce" and is_permanent(enhanced, event.reason)
    provider = _EXPIRED if event.type == "expired" else _CLASSES.get(event.classification or "")
    code = classify(enhanced, event.reason, provider=provider)
    # A bounce that was reported later does not have the id of its message.
    return email_failure(code, "sync" if event.message_id else "async", "Hard" if permanent else "Soft", event.reason)
