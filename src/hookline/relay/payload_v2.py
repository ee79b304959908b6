"""Structure 2 of the payload, the platform's newer one: it has the campaign's type, and differs for email and SMS.

`schemas/payload.v2.schema.json` is its contract. As in structure 1, no field is omitted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hookline.model import Address, Channel
from hookline.relay.event import Event, EventDetails, MessageFailure, Sandbox, Status
from hookline.units import utc_text_of_iso

CAMPAIGN_TYPES = ("Scheduled", "ApiTriggered")
_CAMPAIGN_TYPE = {name.lower(): name for name in CAMPAIGN_TYPES}
_NOTHING = EventDetails()


class _EmailExecution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID")
    message_type: str | None = msgspec.field(name="messageType")
    campaign_id: str | None = msgspec.field(name="campaignID")
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID")
    campaign_type: str | None = msgspec.field(name="campaignType")


class _SmsExecution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID")
    message_type: str | None = msgspec.field(name="messageType")
    campaign_id: str | None = msgspec.field(name="campaignID")
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID")
    message_id: str | None = msgspec.field(name="messageID")
    profile_id: str | None = msgspec.field(name="messageProfileID")
    campaign_type: str | None = msgspec.field(name="campaignType")


class _EmailFeedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status = msgspec.field(name="feedbackStatus")
    offers: Any
    exclusion: Any = msgspec.field(name="messageExclusion")
    failure: MessageFailure | None = msgspec.field(name="messageFailure")
    retry_count: int | None = msgspec.field(name="retryCount")
    encoding: str | None
    message_parts: str | None = msgspec.field(name="numberOfMessageParts")
    delivered_at: str | None = msgspec.field(name="deliveryTimestamp")


class _SmsFeedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status = msgspec.field(name="feedbackStatus")
    offers: Any
    exclusion: Any = msgspec.field(name="messageExclusion")
    failure: MessageFailure | None = msgspec.field(name="messageFailure")
    retry_count: int | None = msgspec.field(name="retryCount")
    response_code: int | str | None = msgspec.field(name="responseCode")
    response_millis: int | None = msgspec.field(name="responseDurationMillis")
    encoding: str | None
    message_parts: str | None = msgspec.field(name="numberOfMessageParts")
    delivered_at: str | None = msgspec.field(name="deliveryTimestamp")


class _SmsContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profile_address: str | None = msgspec.field(name="profileAddress")
    profile_number: str | None = msgspec.field(name="profileNumber")


class EmailPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request_id: str | None = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: Sandbox
    channel: str | None
    event_type: str = msgspec.field(name="eventType")
    execution: _EmailExecution = msgspec.field(name="messageExecution")
    feedback: _EmailFeedback = msgspec.field(name="messageDeliveryFeedback")
    identity_map: dict[str, Any] | None = msgspec.field(name="identityMap")


class SmsPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request_id: str | None = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: Sandbox
    channel: str | None
    event_type: str = msgspec.field(name="eventType")
    context: _SmsContext = msgspec.field(name="channelContext")
    execution: _SmsExecution = msgspec.field(name="messageExecution")
    feedback: _SmsFeedback = msgspec.field(name="messageDeliveryFeedback")
    identity_map: dict[str, Any] | None = msgspec.field(name="identityMap")


_encoder = msgspec.json.Encoder()


def payload_v2_bytes(
    event: Event, *, address: Address, sandbox_id: str | None, campaign_id: str | None, request_id: str | None
) -> bytes:
    """Returns the body of the request in structure 2. The arguments are those of `event.payload_bytes`."""
    sandbox = Sandbox(sandbox_id, address.sandbox)
    form = _sms if event.channel == Channel.SMS else _email
    return _encoder.encode(form(event, address.organization, sandbox, campaign_id, request_id))


def _email(
    event: Event, organization: str, sandbox: Sandbox, campaign_id: str | None, request_id: str | None
) -> EmailPayload:
    further = event.further or _NOTHING
    return EmailPayload(
        request_id,
        organization,
        sandbox,
        event.channel,
        event.event_type,
        _EmailExecution(
            event.execution_id, event.message_type, campaign_id, event.campaign_version_id, _campaign_type(event)
        ),
        _EmailFeedback(
            Status(event.status),
            event.offers,
            event.exclusion,
            event.failure,
            event.retry_count,
            further.encoding,
            further.message_parts,
            _delivered_at(event, further),
        ),
        event.identity_map,
    )


def _sms(
    event: Event, organization: str, sandbox: Sandbox, campaign_id: str | None, request_id: str | None
) -> SmsPayload:
    further = event.further or _NOTHING
    return SmsPayload(
        request_id,
        organization,
        sandbox,
        event.channel,
        event.event_type,
        _SmsContext(further.profile_address, further.profile_number),
        _SmsExecution(
            event.execution_id,
            event.message_type,
            campaign_id,
            event.campaign_version_id,
            further.message_id,
            further.profile_id,
            _campaign_type(event),
        ),
        _SmsFeedback(
            Status(event.status),
            event.offers,
            event.exclusion,
            event.failure,
            event.retry_count,
            further.response_code,
            further.response_millis,
            further.encoding,
            further.message_parts,
            _delivered_at(event, further),
        ),
        event.identity_map,
    )


def _campaign_type(event: Event) -> str | None:
    """Returns the campaign type, in any spelling of upper and lower case, or None for an unknown word."""
    return _CAMPAIGN_TYPE.get((event.campaign_type or "").lower())


def _delivered_at(event: Event, further: EventDetails) -> str | None:
    """Returns the time of delivery, from the event's own field or the time of a delivered event."""
    when = further.delivered_at or (event.time if event.status == "delivered" else None)
    return utc_text_of_iso(when) if when else None
