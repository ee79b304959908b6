"""The platform's payload in structure 1 or 2: hookline also reads the payload that it sends
(`schemas/event.v1.schema.json`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.platform_common import (
    DATASET_KEYS,
    FEEDBACK,
    OTHERS,
    STATUSES,
    IdentityMap,
    PlainIdentityMap,
    each_completed,
    event_details,
    is_of_another_type,
    plain_status,
    quickly,
    well_formed,
)
from hookline.relay.formats.provider_event import first
from hookline.relay.formats.typed_fields import shaped

NAME = "payload"

__all__ = ["NAME", "OTHERS", "STATUSES", "events", "quick", "recognizes"]


class _Sandbox(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None


class _Execution(msgspec.Struct, frozen=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID", default=None)
    message_type: str | None = msgspec.field(name="messageType", default=None)
    campaign_id: str | None = msgspec.field(name="campaignID", default=None)
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID", default=None)
    journey_version_id: str | None = msgspec.field(name="journeyVersionID", default=None)
    message_id: Any = msgspec.field(name="messageID", default=None)
    profile_id: Any = msgspec.field(name="messageProfileID", default=None)
    campaign_type: Any = msgspec.field(name="campaignType", default=None)


class _Status(msgspec.Struct, frozen=True):
    value: str


class _Feedback(msgspec.Struct, frozen=True):
    status: _Status = msgspec.field(name="feedbackStatus")
    offers: Any = None
    exclusion: dict[str, Any] | None = msgspec.field(name="messageExclusion", default=None)
    failure: MessageFailure | None = msgspec.field(name="messageFailure", default=None)
    retry_count: int | None = msgspec.field(name="retryCount", default=None)
    response_code: Any = msgspec.field(name="responseCode", default=None)
    response_millis: Any = msgspec.field(name="responseDurationMillis", default=None)
    encoding: Any = None
    message_parts: Any = msgspec.field(name="numberOfMessageParts", default=None)
    delivered_at: Any = msgspec.field(name="deliveryTimestamp", default=None)


class _Payload(msgspec.Struct, frozen=True):
    channel: str
    feedback: _Feedback = msgspec.field(name="messageDeliveryFeedback")
    request_id: str | None = msgspec.field(name="requestId", default=None)
    organization: str | None = msgspec.field(name="imsOrg", default=None)
    sandbox: _Sandbox | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)
    context: Any = msgspec.field(name="channelContext", default=None)
    execution: _Execution | None = msgspec.field(name="messageExecution", default=None)
    identity_map: IdentityMap | None = msgspec.field(name="identityMap", default=None)


class _Plain(msgspec.Struct, frozen=True):
    """The payload, with an identity map that can be passed through as decoded."""

    channel: str
    feedback: _Feedback = msgspec.field(name="messageDeliveryFeedback")
    request_id: str | None = msgspec.field(name="requestId", default=None)
    organization: str | None = msgspec.field(name="imsOrg", default=None)
    sandbox: _Sandbox | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)
    context: Any = msgspec.field(name="channelContext", default=None)
    execution: _Execution | None = msgspec.field(name="messageExecution", default=None)
    identity_map: PlainIdentityMap | None = msgspec.field(name="identityMap", default=None)


_NO_SANDBOX = _Sandbox()
_NO_EXECUTION = _Execution()
_NO_CONTEXT: dict[str, Any] = {}
_plain = msgspec.json.Decoder(_Plain)


def quick(data: bytes) -> Event | None:
    if b'"messageDeliveryFeedback"' not in data:
        return None
    read = quickly(data, _plain)
    if read is None or read.event_type not in (None, FEEDBACK) or not well_formed(read.identity_map):
        return None
    return _said(read, read.identity_map)


def recognizes(value: object) -> bool:
    event = first(value)
    if event is None:
        return False
    if "messageDeliveryFeedback" in event or "messageExecution" in event:
        return True
    return event.get("eventType") == FEEDBACK and not any(key in event for key in DATASET_KEYS)


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return each_completed(value, hints, _event)


def _event(value: object) -> ParsedEvent:
    if is_of_another_type(value, "eventType"):
        return Skipped("not_an_event")
    read = shaped(value, _Payload)
    if isinstance(read, Rejected):
        return read
    assert isinstance(value, dict)
    return _said(read, value.get("identityMap"))


def _said(read: _Payload | _Plain, identity_map: dict[str, Any] | None) -> Event:
    sandbox = read.sandbox or _NO_SANDBOX
    execution = read.execution or _NO_EXECUTION
    context: dict[str, Any] = read.context if isinstance(read.context, dict) else _NO_CONTEXT
    status, failure = plain_status(read.feedback.status.value, read.feedback.failure)
    return Event(
        request_id=read.request_id,
        organization=read.organization,
        sandbox_name=sandbox.name,
        sandbox_id=sandbox.id,
        channel=read.channel,
        status=status,
        execution_id=execution.execution_id,
        message_type=execution.message_type,
        campaign_id=execution.campaign_id,
        campaign_version_id=execution.campaign_version_id,
        campaign_type=plain_text(execution.campaign_type),
        journey_version_id=execution.journey_version_id,
        offers=read.feedback.offers,
        exclusion=read.feedback.exclusion,
        failure=failure,
        retry_count=read.feedback.retry_count,
        identity_map=identity_map,
        further=event_details(
            message_id=execution.message_id,
            profile_id=execution.profile_id,
            profile_number=context.get("profileNumber"),
            encoding=read.feedback.encoding,
            message_parts=read.feedback.message_parts,
            delivered_at=read.feedback.delivered_at,
            profile_address=context.get("profileAddress"),
            response_code=read.feedback.response_code,
            response_millis=read.feedback.response_millis,
        ),
    )
