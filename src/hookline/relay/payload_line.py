"""A line in the form of the payload, decoded so that its structs can be sent again.

The fields of structure 1 have the names and the order of `event.Payload`, so encoding gives the payload that the
line's event has. All further fields are UNSET if the line does not have them, and the encoder omits them.
`is_sendable` decides whether a line has the fields of structure 1 and no others.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from hookline.relay.event import MessageFailure

FEEDBACK: Final = "message.feedback"

# An identity map as it is passed through.
RawIdentityMap = dict[str, list[dict[str, Any]]]


class LineExecution(msgspec.Struct, frozen=True):
    """`messageExecution`, the same object in a dataset event. `profile_id` is in payloads only."""

    execution_id: str | None = msgspec.field(name="messageExecutionID", default=None)
    message_type: str | None = msgspec.field(name="messageType", default=None)
    campaign_id: str | None = msgspec.field(name="campaignID", default=None)
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID", default=None)
    journey_version_id: str | UnsetType | None = msgspec.field(name="journeyVersionID", default=UNSET)
    message_id: Any = msgspec.field(name="messageID", default=UNSET)
    profile_id: Any = msgspec.field(name="messageProfileID", default=UNSET)
    campaign_type: Any = msgspec.field(name="campaignType", default=UNSET)


class LineFeedback(msgspec.Struct, frozen=True):
    """The fields of the feedback, the same in a dataset event except for the form of the status."""

    status: Any = msgspec.field(name="feedbackStatus")
    offers: Any = None
    exclusion: dict[str, Any] | None = msgspec.field(name="messageExclusion", default=None)
    failure: MessageFailure | None = msgspec.field(name="messageFailure", default=None)
    retry_count: int | None = msgspec.field(name="retryCount", default=None)
    encoding: Any = UNSET
    message_parts: Any = msgspec.field(name="numberOfMessageParts", default=UNSET)
    delivered_at: Any = msgspec.field(name="deliveryTimestamp", default=UNSET)
    response_code: Any = msgspec.field(name="responseCode", default=UNSET)
    response_millis: Any = msgspec.field(name="responseDurationMillis", default=UNSET)


class LineStatus(msgspec.Struct, frozen=True):
    value: str


class _PayloadFeedback(LineFeedback, frozen=True):
    status: LineStatus = msgspec.field(name="feedbackStatus")  # a field that is defined again keeps its place


class LineSandbox(msgspec.Struct, frozen=True):
    id: str | None = None
    name: str | None = None


class PayloadFields(msgspec.Struct, frozen=True, kw_only=True):
    request_id: str | None = msgspec.field(name="requestId", default=None)
    organization: str | None = msgspec.field(name="imsOrg", default=None)
    sandbox: LineSandbox | None = None
    channel: str
    event_type: str | None = msgspec.field(name="eventType", default=None)
    execution: LineExecution | None = msgspec.field(name="messageExecution", default=None)
    feedback: _PayloadFeedback = msgspec.field(name="messageDeliveryFeedback")
    context: Any = msgspec.field(name="channelContext", default=UNSET)


class PayloadLine(PayloadFields, frozen=True, kw_only=True):
    """The payload, with an identity map that can be passed through as decoded."""

    identity_map: RawIdentityMap | None = msgspec.field(name="identityMap", default=None)


_NO_FURTHER = (UNSET,) * 10


def is_sendable(payload: PayloadLine) -> bool:
    """Returns whether the line has each object of structure 1, and no field of structure 2 or of a journey."""
    execution, feedback = payload.execution, payload.feedback
    if payload.event_type != FEEDBACK or execution is None or payload.sandbox is None:
        return False
    further = (
        payload.context,
        execution.journey_version_id,
        execution.message_id,
        execution.profile_id,
        execution.campaign_type,
        feedback.encoding,
        feedback.message_parts,
        feedback.delivered_at,
        feedback.response_code,
        feedback.response_millis,
    )
    return further == _NO_FURTHER


def moved_payload(payload: PayloadLine, organization: str, sandbox: str) -> PayloadLine:
    """Returns the payload with another address."""
    assert payload.sandbox is not None
    renamed = msgspec.structs.replace(payload.sandbox, name=sandbox)
    return msgspec.structs.replace(payload, organization=organization, sandbox=renamed)
