"""SendGrid's Event Webhook: a list of events, or one per line.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
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
    classify,
    enhanced_status,
    failure,
    is_permanent,
)
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.provider_event import JsonScalar, count, first, provided, read_each, text, unless_skipped
from hookline.relay.formats.typed_fields import shaped
from hookline.units import utc_text_of_unix

NAME = "sendgrid"

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
    event = first(value)
    if event is None or "event" not in event or "email" not in event:
        return False
    return "sg_event_id" in event or "sg_message_id" in event or "timestamp" in event


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return read_each(value, hints, _event)


def _event(value: Any, hints: FieldMapping) -> ParsedEvent:
    read = shaped(value, _Event)
    if isinstance(read, Rejected):
        return unless_skipped(read, value.get("event") if isinstance(value, dict) else None, STATUSES)
    status = STATUSES.get(read.event)
    if status is None:
        return Skipped("status_not_relayed", read.event)
    event_id = text(read.event_id)
    return provided(
        value,
        hints,
        identity=f"sendgrid:{event_id}" if event_id else None,
        status=status,
        recipient=read.email,
        variables=value,  # custom arguments are among the event's own fields
        time=utc_text_of_unix(read.timestamp),
        failure=_failure(read, status),
        detail=read.reason or read.response,
        retry_count=count(read.attempt),
        execution_id=text(read.message_id),
    )


def _failure(read: _Event, status: str) -> MessageFailure | None:
    if status == "error":
        return failure(_DROPPED.get(read.reason or ""), SYNC, wording=read.reason)
    if status != "bounce":
        return None
    enhanced = enhanced_status(text(read.status), read.reason)
    permanent = read.type == "bounce" and is_permanent(enhanced, read.reason)
    provider = _EXPIRED if read.type == "expired" else _CLASSES.get(read.classification or "")
    code = classify(enhanced, read.reason, provider=provider)
    # A bounce that was reported later does not have the id of its message.
    return failure(code, SYNC if read.message_id else ASYNC, HARD if permanent else SOFT, read.reason)
