"""Amazon SES: event publishing and feedback notifications, as written by Firehose, or in the envelope of SNS or
EventBridge.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html and
https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import (
    ASYNC,
    HARD,
    IGNORED_KIND,
    SOFT,
    SYNC,
    BounceKind,
    Category,
    classify,
    enhanced_status,
    failure,
)
from hookline.relay.formats.format import LineText, ParsedEvent
from hookline.relay.formats.json_decoding import decoded
from hookline.relay.formats.provider_event import mailbox, provided, recipient_of, unless_skipped
from hookline.relay.formats.typed_fields import shaped

NAME = "ses"

STATUSES: Mapping[str, str] = {
    "Send": "sent",
    "Delivery": "delivered",
    "Bounce": "bounce",
    "Reject": "error",
    "Rendering Failure": "error",
}
OTHERS: tuple[str, ...] = ("Complaint", "DeliveryDelay", "Open", "Click", "Subscription")
_KINDS: dict[str, BounceKind] = {"Permanent": HARD, "Transient": SOFT, "Undetermined": IGNORED_KIND}
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
_TYPES = {"Permanent": 30, "Transient": 20, "Undetermined": 1}
_NOTIFICATIONS = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")
_NO_EVENT = Skipped("not_an_event")


class _Mail(msgspec.Struct, frozen=True):
    message_id: str = msgspec.field(name="messageId")
    timestamp: str | None = None
    destination: list[str] | None = None
    tags: dict[str, Any] | None = None


class _Bounced(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="emailAddress")
    status: str | None = None
    diagnostic: str | None = msgspec.field(name="diagnosticCode", default=None)


class _Bounce(msgspec.Struct, frozen=True):
    recipients: list[_Bounced] = msgspec.field(name="bouncedRecipients")
    type: str | None = msgspec.field(name="bounceType", default=None)
    subtype: str | None = msgspec.field(name="bounceSubType", default=None)
    timestamp: str | None = None
    feedback_id: str | None = msgspec.field(name="feedbackId", default=None)
    status_collector: str | None = msgspec.field(name="reportingMTA", default=None)
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
    return _is_bare(value) or (value.get("source") == "aws.ses" and "detail" in value)


def _is_bare(value: dict[str, Any]) -> bool:
    return "mail" in value and ("eventType" in value or "notificationType" in value)


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    if isinstance(value, dict):
        if "detail-type" in value and "detail" in value:
            return _bare(value["detail"], hints.within(value))
        if "Type" in value and not _is_bare(value):
            return _notified(value, hints)
    return _bare(value, hints)


def _notified(envelope: dict[str, Any], hints: FieldMapping) -> Iterable[ParsedEvent]:
    """Reads an SNS notification. A topic can carry messages that are not events of SES: those of SNS itself and of
    other publishers.
    """
    message = envelope.get("Message")
    if envelope.get("Type") != "Notification" or not isinstance(message, str):
        return [_NO_EVENT]
    value = decoded(message.encode())
    if isinstance(value, LineText):
        return [Rejected(f"Message: {value.fault}") if message.lstrip().startswith("{") else _NO_EVENT]
    if isinstance(value, Rejected):
        return [Rejected(f"Message: {value.reason}")]
    return _bare(value, hints.within(envelope)) if isinstance(value, dict) and _is_bare(value) else [_NO_EVENT]


def _bare(value: object, hints: FieldMapping) -> Iterator[ParsedEvent]:
    read = shaped(value, _Event)
    if isinstance(read, Rejected):
        yield unless_skipped(read, _kind(value), STATUSES)
        return
    kind = read.event_type or read.notification_type
    status = STATUSES.get(kind or "")
    if not kind or status is None:
        yield Skipped("status_not_relayed", kind) if kind else Rejected("eventType: missing")
        return
    if (kind == "Bounce" and read.bounce is None) or (kind == "Delivery" and read.delivery is None):
        yield Rejected(f"{kind.lower()}: missing")
        return
    nobody = True
    for told, time, why, detail in _outcomes(read, kind):
        nobody = False
        recipient = recipient_of(told, value, hints)
        yield provided(
            value,
            hints,
            identity=f"ses:{_event_id(read, kind)}:{recipient}",
            status=status,
            recipient=recipient,
            variables=read.mail.tags,
            time=time,
            failure=why,
            detail=detail,
            execution_id=read.mail.message_id,
        )
    if nobody:
        yield Rejected("no recipient: the event names none")


def _kind(value: object) -> object:
    return (value.get("eventType") or value.get("notificationType")) if isinstance(value, dict) else None


def _event_id(read: _Event, kind: str) -> str:
    if read.bounce is not None and read.bounce.feedback_id:
        return read.bounce.feedback_id
    return f"{read.mail.message_id}:{kind}"


_Outcome = tuple[str | None, str | None, MessageFailure | None, str | None]


def _outcomes(read: _Event, kind: str) -> Iterator[_Outcome]:
    """Returns recipient, time, failure and text for each recipient of the event."""
    if kind == "Bounce" and read.bounce is not None:
        for bounced in read.bounce.recipients:
            why = _bounced(read.bounce, bounced)
            yield mailbox(bounced.address), read.bounce.timestamp or read.mail.timestamp, why, bounced.diagnostic
    elif kind == "Delivery" and read.delivery is not None:
        for recipient in read.delivery.recipients:
            yield mailbox(recipient), read.delivery.timestamp or read.mail.timestamp, None, read.delivery.response
    else:
        wording = read.reject.reason if read.reject else read.failure.message if read.failure else None
        failed = failure(None, SYNC, wording=wording) if STATUSES[kind] == "error" else None
        for recipient in read.mail.destination or ():
            yield mailbox(recipient), read.mail.timestamp, failed, wording


def _bounced(bounce: _Bounce, bounced: _Bounced) -> MessageFailure:
    status = enhanced_status(bounced.status, bounced.diagnostic)
    provider = _SUBTYPES.get(bounce.subtype or "") or _TYPES.get(bounce.type or "")
    code = classify(status, bounced.diagnostic, provider=provider)
    return failure(code, _category(bounce), _KINDS.get(bounce.type or ""), bounced.diagnostic)


def _category(bounce: _Bounce) -> Category:
    """Returns sync if the server that SES contacted refused the message, async if another server reported it later.

    `remoteMtaIp` is the server to which SES tried to deliver, and `reportingMTA` the server that reports the
    failure.
    """
    refused = bounce.remote is not None or (bounce.status_collector or "").rstrip(".").endswith("amazonses.com")
    return SYNC if refused else ASYNC
