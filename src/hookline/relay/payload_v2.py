"""Structure 2 of the payload, the platform's newer one: it has the campaign's type, and differs for email and SMS.

`schemas/payload.v2.schema.json` is its contract. As in structure 1, no field is omitted.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hookline.model import Address, Channel
from hookline.relay.event import (
    Event,
    EventDetails,
    Payload,
    PayloadExecution,
    PayloadFeedback,
    Sandbox,
    Status,
    encode_payload,
    payload_bytes,
)
from hookline.units import utc_text_of_iso

CAMPAIGN_TYPES = ("Scheduled", "ApiTriggered")
_CAMPAIGN_TYPE = {name.lower(): name for name in CAMPAIGN_TYPES}
_NOTHING = EventDetails()


class _EmailExecution(PayloadExecution, frozen=True, forbid_unknown_fields=True):
    campaign_type: str | None = msgspec.field(name="campaignType")


class _SmsExecution(PayloadExecution, frozen=True, forbid_unknown_fields=True):
    message_id: str | None = msgspec.field(name="messageID")
    profile_id: str | None = msgspec.field(name="messageProfileID")
    campaign_type: str | None = msgspec.field(name="campaignType")


class _EmailFeedback(PayloadFeedback, frozen=True, forbid_unknown_fields=True):
    encoding: str | None
    message_parts: str | None = msgspec.field(name="numberOfMessageParts")
    delivered_at: str | None = msgspec.field(name="deliveryTimestamp")


class _SmsFeedback(PayloadFeedback, frozen=True, forbid_unknown_fields=True):
    response_code: int | str | None = msgspec.field(name="responseCode")
    response_millis: int | None = msgspec.field(name="responseDurationMillis")
    encoding: str | None
    message_parts: str | None = msgspec.field(name="numberOfMessageParts")
    delivered_at: str | None = msgspec.field(name="deliveryTimestamp")


class _SmsContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profile_address: str | None = msgspec.field(name="profileAddress")
    profile_number: str | None = msgspec.field(name="profileNumber")


class EmailPayload(Payload, frozen=True, forbid_unknown_fields=True):
    # A field that is defined again keeps its place.
    execution: _EmailExecution = msgspec.field(name="messageExecution")
    feedback: _EmailFeedback = msgspec.field(name="messageDeliveryFeedback")


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


def payload_v2_bytes(
    event: Event, *, address: Address, sandbox_id: str | None, campaign_id: str | None, request_id: str | None
) -> bytes:
    """Returns the body of the request in structure 2. The arguments are those of `event.payload_bytes`."""
    further = event.further or _NOTHING
    campaign_type = _CAMPAIGN_TYPE.get((event.campaign_type or "").lower())  # None for an unknown word
    delivered_at = further.delivered_at or (event.time if event.status == "delivered" else None)
    head = (request_id, address.organization, Sandbox(sandbox_id, address.sandbox), event.channel, event.event_type)
    execution = (event.execution_id, event.message_type, campaign_id, event.campaign_version_id)
    feedback = (Status(event.status), event.offers, event.exclusion, event.failure, event.retry_count)
    ending = (further.encoding, further.message_parts, utc_text_of_iso(delivered_at) if delivered_at else None)
    if event.channel != Channel.SMS:
        return encode_payload(
            EmailPayload(
                *head,
                _EmailExecution(*execution, campaign_type),
                _EmailFeedback(*feedback, *ending),
                event.identity_map,
            )
        )
    return encode_payload(
        SmsPayload(
            *head,
            _SmsContext(further.profile_address, further.profile_number),
            _SmsExecution(*execution, further.message_id, further.profile_id, campaign_type),
            _SmsFeedback(*feedback, further.response_code, further.response_millis, *ending),
            event.identity_map,
        )
    )


# By the structure in the webhook file.
PAYLOAD_BYTES = {1: payload_bytes, 2: payload_v2_bytes}
