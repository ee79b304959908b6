"""Amazon SES: event publishing and feedback notifications, as written by Firehose, or in the envelope of SNS or
EventBridge.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
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
from hookline.relay.formats.format import Description, LineText, ParsedEvent
from hookline.relay.formats.json_decoding import decode_json
from hookline.relay.formats.provider_event import complete_event, recipient_of, skip_or_reject
from hookline.relay.formats.recognition import kind_of
from hookline.relay.formats.typed_fields import mailbox, to_struct

NAME = "ses"
DESCRIPTION = Description(
    "email",
    "an event of Amazon SES: without envelope (Firehose), or in the envelope of SNS or EventBridge",
    "`mail` with `eventType` or `notificationType`; `Type` of SNS; `source` of EventBridge",
)

STATUSES: Mapping[str, str] = {
    "Send": "sent",
    "Delivery": "delivered",
    "Bounce": "bounce",
    "Reject": "error",
    "Rendering Failure": "error",
}
# A server that reports a failure later also reports recipients that did not fail (RFC 3464 §2.3.3).
_NOT_FAILED = {action: f"Bounce {action}" for action in ("delayed", "delivered", "relayed", "expanded")}
OTHERS: tuple[str, ...] = (
    "Complaint",
    "DeliveryDelay",
    "Open",
    "Click",
    "Subscription",
    *_NOT_FAILED.values(),
)
_KINDS: dict[str, BounceKind] = {"Permanent": "Hard", "Transient": "Soft", "Undetermined": "Ignored"}
# `bounceSubType` values that are more precise than their type, then the types themselves.
_SUBTYPES = {
    "NoEmail": 10,
    "MailboxFull": 22,
    "MessageTooLarge": 23,
    "CustomTimeoutExceeded": 24,
    "ContentRejected": 52,
    "AttachmentRejected": 53,
    "Undetermined": 1,
}
_SUPPRESSED = ("Suppressed", "UnsubscribedRecipient")
_TYPES = {"Permanent": 30, "Transient": 20, "Undetermined": 1}
_NOTIFICATIONS = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_NO_EVENT = Skipped("not_an_event")
_EVENT_FIELDS = frozenset(("mail", "eventType", "notificationType"))


class _Mail(msgspec.Struct, frozen=True):
    message_id: str = msgspec.field(name="messageId")
    timestamp: str | None = None
    destination: list[str] | None = None
    tags: dict[str, Any] | None = None


class _Bounced(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="emailAddress")
    action: str | None = None
    status: str | None = None
    diagnostic: str | None = msgspec.field(name="diagnosticCode", default=None)


class _Bounce(msgspec.Struct, frozen=True):
    recipients: list[_Bounced] = msgspec.field(name="bouncedRecipients")
    type: str | None = msgspec.field(name="bounceType", default=None)
    subtype: str | None = msgspec.field(name="bounceSubType", default=None)
    timestamp: str | None = None
    feedback_id: str | None = msgspec.field(name="feedbackId", default=None)
    reporting_mta: str | None = msgspec.field(name="reportingMTA", default=None)
    remote: str | None = msgspec.field(name="remoteMtaIp", default=None)


class _Delivery(msgspec.Struct, frozen=True):
    recipients: list[str]
    timestamp: str | None = None
    response: str | None = msgspec.field(name="smtpResponse", default=None)


class _Reject(msgspec.Struct, frozen=True):
    reason: str | None = None


class _Failure(msgspec.Struct, frozen=True):
    message: str | None = msgspec.field(name="errorMessage", default=None)


class _Event(msgspec.Struct, frozen=True):
    mail: _Mail
    event_type: str | None = msgspec.field(name="eventType", default=None)
    notification_type: str | None = msgspec.field(name="notificationType", default=None)
    bounce: _Bounce | None = None
    delivery: _Delivery | None = None
    reject: _Reject | None = None
    failure: _Failure | None = None


def recognizes(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if value.get("Type") in _NOTIFICATIONS and ("TopicArn" in value or "Message" in value):
        return True
    return _is_ses_event(value) or (value.get("source") == "aws.ses" and "detail" in value)


def _is_ses_event(value: dict[str, Any]) -> bool:
    return "mail" in value and ("eventType" in value or "notificationType" in value)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    if isinstance(value, dict):
        if "detail-type" in value and "detail" in value:
            return _parse_eventbridge(value, mapping)
        if "Type" in value and not _is_ses_event(value):
            return _parse_notification(value, mapping)
    return _parse(value, mapping)


def _parse_eventbridge(envelope: dict[str, Any], mapping: FieldMapping) -> Iterable[ParsedEvent]:
    """Reads an event of EventBridge. SES also sends events about the account there, which have no mail."""
    detail, name = envelope["detail"], envelope["detail-type"]
    if isinstance(name, str) and name and isinstance(detail, dict) and _EVENT_FIELDS.isdisjoint(detail):
        return [Skipped("status_not_relayed", name)]
    return _parse(detail, mapping.within(envelope))


def _parse_notification(envelope: dict[str, Any], mapping: FieldMapping) -> Iterable[ParsedEvent]:
    """Reads an SNS notification. A topic also carries messages of SNS itself and of other publishers."""
    message = envelope.get("Message")
    if envelope.get("Type") != "Notification" or not isinstance(message, str):
        return [_NO_EVENT]
    value = decode_json(message.encode())
    if isinstance(value, LineText):
        return [Rejected(f"Message: {value.fault}") if message.lstrip().startswith("{") else _NO_EVENT]
    if isinstance(value, Rejected):
        return [Rejected(f"Message: {value.reason}")]
    if not (isinstance(value, dict) and _is_ses_event(value)):
        return [Skipped(_NO_EVENT.reason, kind_of(value))]
    return _parse(value, mapping.within(envelope))


def _parse(value: object, mapping: FieldMapping) -> Iterator[ParsedEvent]:
    event = to_struct(value, _Event)
    if isinstance(event, Rejected):
        fields = value if isinstance(value, dict) else {}
        yield skip_or_reject(event, fields.get("eventType") or fields.get("notificationType"), STATUSES)
        return
    kind = event.event_type or event.notification_type
    status = STATUSES.get(kind or "")
    if not kind or status is None:
        yield Skipped("status_not_relayed", kind) if kind else Rejected("eventType: missing")
        return
    if (kind == "Bounce" and event.bounce is None) or (kind == "Delivery" and event.delivery is None):
        yield Rejected(f"{kind.lower()}: missing")
        return
    event_id = (event.bounce and event.bounce.feedback_id) or f"{event.mail.message_id}:{kind}"
    is_empty = True
    if event.bounce is not None and kind == "Bounce" and _is_suppressed(event.bounce.subtype):
        status = "error"
    for address, time, failure, detail in _outcomes(event, kind):
        is_empty = False
        if isinstance(failure, Skipped):
            yield failure
            continue
        recipient = recipient_of(address, value, mapping)
        parsed = Event(
            identity=f"ses:{event_id}:{recipient}",
            status=status,
            time=time,
            failure=failure,
            detail=detail,
            execution_id=event.mail.message_id,
        )
        yield complete_event(parsed, value, mapping, recipient=recipient, variables=event.mail.tags)
    if is_empty:
        yield Rejected("no recipient: the event names no recipient")


_Outcome = tuple[str | None, str | None, MessageFailure | Skipped | None, str | None]


def _outcomes(event: _Event, kind: str) -> Iterator[_Outcome]:
    """Returns recipient, time, failure and text for each recipient of the event."""
    if kind == "Bounce" and event.bounce is not None:
        for bounced in event.bounce.recipients:
            failure, time = _bounce_failure(event.bounce, bounced), event.bounce.timestamp or event.mail.timestamp
            yield mailbox(bounced.address), time, failure, bounced.diagnostic
    elif kind == "Delivery" and event.delivery is not None:
        for recipient in event.delivery.recipients:
            yield mailbox(recipient), event.delivery.timestamp or event.mail.timestamp, None, event.delivery.response
    else:
        wording = event.reject.reason if event.reject else event.failure.message if event.failure else None
        error = email_failure(None, "sync", wording=wording) if STATUSES[kind] == "error" else None
        for recipient in event.mail.destination or ():
            yield mailbox(recipient), event.mail.timestamp, error, wording


@lru_cache(maxsize=64)  # there are a dozen
def _is_suppressed(subtype: str | None) -> bool:
    """Returns whether SES did not send to the address, because it is on a list of the account or of a tenant."""
    return subtype is not None and (subtype in _SUPPRESSED or subtype.endswith("SuppressionList"))


def _bounce_failure(bounce: _Bounce, bounced: _Bounced) -> MessageFailure | Skipped:
    """Returns the failure of a recipient. Its own words decide before those of the event."""
    if name := _NOT_FAILED.get((bounced.action or "").lower()):
        return Skipped("status_not_relayed", name)
    if _is_suppressed(bounce.subtype):
        return suppressed_by_sender()
    status = enhanced_status(bounced.status, bounced.diagnostic)
    provider = _SUBTYPES.get(bounce.subtype or "") or _TYPES.get(bounce.type or "")
    code = classify(status, bounced.diagnostic, provider=provider)
    # The server that SES contacted (`remoteMtaIp`) refused the message, or another server reported it later.
    refused = bounce.remote is not None or (bounce.reporting_mta or "").rstrip(".").endswith("amazonses.com")
    kind = "Soft" if status and status[0] == "4" else _KINDS.get(bounce.type or "")
    return email_failure(code, "sync" if refused else "async", kind, bounced.diagnostic)
