"""A feedback event of any format, and the payload that the platform documents for it."""

from __future__ import annotations

from typing import Any

import msgspec

from hookline.model import Address


class MessageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The failure of a message in the platform's classification. Absent parts are null in the payload."""

    category: str | None = None
    type: str | None = None
    code: str | None = None
    reason: str | None = None


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that only structure 2 of the payload contains. None means that the source has no value.

    `message_parts` is a number as text. `delivered_at` is the source's ISO 8601 text, for a delivered message.
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
    """One event about one message to one recipient. None means that the source has no value.

    Attributes:
        identity: the source's event id with its format as prefix (``xdm:d9b1…``). The delivery id is derived from it.
        status, channel: the platform's words (``bounce``, ``email``), also those that are not relayed (``delay``,
            ``push``).
        identity_map: passed through unchanged.
        time: the source's ISO 8601 text.
        further: the fields of structure 2.
        detail: the provider's text, for people. It is not sent.
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


def primary_identity(identity_map: dict[str, Any] | None) -> str | None:
    """Returns the id of the recipient: the entry of the identity map with ``primary: true``, otherwise the first.

    Namespaces are searched in sorted order, so that two spellings of one event have the same recipient.
    """
    first: str | None = None
    for _, entries in sorted((identity_map or {}).items()):
        for entry in entries:
            identity: str = entry["id"]
            if entry.get("primary") is True:
                return identity
            if first is None:
                first = identity
    return first


# The fields of structure 1, in the order in which they are sent. `schemas/payload.v1.schema.json` is their contract.
# No field is omitted, because receivers that were written for the platform expect each of them.


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str | None
    name: str


class PayloadExecution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID")
    message_type: str | None = msgspec.field(name="messageType")
    campaign_id: str | None = msgspec.field(name="campaignID")
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID")


class Status(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    value: str | None


class PayloadFeedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: Status = msgspec.field(name="feedbackStatus")
    offers: Any
    exclusion: Any = msgspec.field(name="messageExclusion")
    failure: MessageFailure | None = msgspec.field(name="messageFailure")
    retry_count: int | None = msgspec.field(name="retryCount")


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payload as it is sent, and as it is read from an exported dead letter."""

    request_id: str | None = msgspec.field(name="requestId")
    organization: str = msgspec.field(name="imsOrg")
    sandbox: Sandbox
    channel: str | None
    event_type: str = msgspec.field(name="eventType")
    execution: PayloadExecution = msgspec.field(name="messageExecution")
    feedback: PayloadFeedback = msgspec.field(name="messageDeliveryFeedback")
    identity_map: dict[str, Any] | None = msgspec.field(name="identityMap")


# Encodes a payload to the bytes that are sent.
encode_payload = msgspec.json.Encoder().encode


def payload_bytes(
    event: Event, *, address: Address, sandbox_id: str | None, campaign_id: str | None, request_id: str | None
) -> bytes:
    """Returns the body of the request in structure 1: compact UTF-8, with every field; absent values are ``null``.

    Args:
        event: supplies all other fields.
        address: the webhook's address.
        sandbox_id: the id of the sandbox, from the event or the webhook.
        campaign_id: the campaign, from the event or the command line.
        request_id: the request id, from the event or derived.
    """
    return encode_payload(
        Payload(
            request_id,
            address.organization,
            Sandbox(sandbox_id, address.sandbox),
            event.channel,
            event.event_type,
            PayloadExecution(event.execution_id, event.message_type, campaign_id, event.campaign_version_id),
            PayloadFeedback(Status(event.status), event.offers, event.exclusion, event.failure, event.retry_count),
            event.identity_map,
        )
    )
