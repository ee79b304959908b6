"""One feedback event, whatever form it came in, and the payload that the platform documents for it."""

from __future__ import annotations

from typing import Any

import msgspec

from hookline.model import Address


class MessageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a message bounced or failed, in the platform's classification; absent parts are null in the payload."""

    category: str | None = None
    type: str | None = None
    code: str | None = None
    reason: str | None = None


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What only structure 2 of the payload has a place for. None: the source does not say.

    `message_parts` is a number as text, `delivered_at` ISO 8601 as the source wrote it, of a delivered message.
    """

    message_id: str | None = None
    profile_id: str | None = None
    profile_address: str | None = None
    profile_number: str | None = None
    response_code: int | str | None = None
    response_millis: int | None = None
    encoding: str | None = None
    message_parts: str | None = None
    delivered_at: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a source says of one message to one recipient. None: the source does not say.

    `identity` is the source's own event id, prefixed by its format (``xdm:d9b1…``); it makes the delivery id.
    `status` and `channel` are in the platform's words (``bounce``, ``email``), also where those are not relayed
    (``delay``, ``push``). `identity_map` is passed through as it is. `time` is ISO 8601 as the source wrote it.
    `detail` is the provider's own wording, for people; it is not sent.
    """

    identity: str | None = None
    request_id: str | None = None
    organization: str | None = None
    sandbox_name: str | None = None
    sandbox_id: str | None = None
    channel: str | None = None
    event_type: str = "message.feedback"
    status: str | None = None
    execution_id: str | None = None
    message_type: str | None = None
    campaign_id: str | None = None
    campaign_version_id: str | None = None
    campaign_type: str | None = None
    journey_version_id: str | None = None
    offers: Any = None
    exclusion: Any = None
    failure: MessageFailure | None = None
    retry_count: int | None = None
    identity_map: dict[str, Any] | None = None
    time: str | None = None
    further: EventDetails | None = None
    detail: str | None = None


def primary_identity(event: Event) -> str | None:
    """The id of the recipient: the entry of the identity map that says ``primary: true``, else the first one.

    Namespaces are looked through in sorted order, so that two spellings of one event name one recipient.
    """
    first: str | None = None
    for _, entries in sorted((event.identity_map or {}).items()):
        for entry in entries:
            identity: str = entry["id"]
            if entry.get("primary") is True:
                return identity
            if first is None:
                first = identity
    return first


# The fields of structure 1, in the order in which they are sent. `schemas/payload.v1.schema.json` is their
# contract; a field is never left out, since receivers written against the platform look for each of them.


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str | None
    name: str


class _Execution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID")
    message_type: str | None = msgspec.field(name="messageType")
    campaign_id: str | None = msgspec.field(name="campaignID")
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID")


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: str | None


class _DeliveryFeedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status = msgspec.field(name="feedbackStatus")
    offers: Any
    exclusion: Any = msgspec.field(name="messageExclusion")
    failure: MessageFailure | None = msgspec.field(name="messageFailure")
    retry_count: int | None = msgspec.field(name="retryCount")


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload as it is sent, also when it comes back (formats.envelope)."""

    request_id: str | None = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: Sandbox
    channel: str | None
    event_type: str = msgspec.field(name="eventType")
    execution: _Execution = msgspec.field(name="messageExecution")
    feedback: _DeliveryFeedback = msgspec.field(name="messageDeliveryFeedback")
    identity_map: dict[str, Any] | None = msgspec.field(name="identityMap")


_encoder = msgspec.json.Encoder()


def encode_payload(payload: msgspec.Struct) -> bytes:
    """The same bytes as when it was made."""
    return _encoder.encode(payload)


def payload_bytes(
    event: Event,
    *,
    address: Address,
    sandbox_id: str | None,
    campaign_id: str | None,
    request_id: str | None,
) -> bytes:
    """The body of the request in structure 1: compact UTF-8, every field in its place, absent ones ``null``.

    What routing has settled (where it goes, which campaign, which request) comes as arguments; everything else
    is the event's own.
    """
    return _encoder.encode(
        Payload(
            request_id,
            address.organization,
            Sandbox(sandbox_id, address.sandbox),
            event.channel,
            event.event_type,
            _Execution(event.execution_id, event.message_type, campaign_id, event.campaign_version_id),
            _DeliveryFeedback(Status(event.status), event.offers, event.exclusion, event.failure, event.retry_count),
            event.identity_map,
        )
    )
