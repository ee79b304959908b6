"""The platform's payload in structure 1 or 2, as hookline itself sends it (`schemas/event.v1.schema.json`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats import platform_common as platform
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import as_object
from hookline.relay.formats.typed_fields import to_struct
from hookline.relay.payload_line import FEEDBACK, LineSandbox, PayloadFields, PayloadLine

NAME = "payload"
DESCRIPTION = Description(
    "email, sms",
    "the platform's payload in structure 1 or 2, as hookline sends it, or a list of payloads",
    "`messageDeliveryFeedback` or `messageExecution` at the top level",
)
STATUSES, OTHERS = platform.STATUSES, platform.OTHERS


class _Payload(PayloadFields, frozen=True, kw_only=True):
    identity_map: platform.IdentityMap | None = msgspec.field(name="identityMap", default=None)


_NO_SANDBOX = LineSandbox()
_NO_CONTEXT: dict[str, Any] = {}
_quick_decoder = msgspec.json.Decoder(PayloadLine)


def quick(data: bytes) -> PayloadLine | None:
    if data.find(b'"messageDeliveryFeedback"') < 0:  # `in` first asks whether the text is a number
        return None
    payload = platform.decode_quickly(data, _quick_decoder)
    if (
        payload is None
        or payload.event_type not in (None, FEEDBACK)
        or not platform.is_well_formed(payload.identity_map)
    ):
        return None
    return payload


def to_event(payload: PayloadLine) -> Event:
    """Returns the event of a line that `quick` has decoded."""
    return _to_event(payload, payload.identity_map)


def recognizes(value: object) -> bool:
    event = as_object(value)
    if "messageDeliveryFeedback" in event or "messageExecution" in event:
        return True
    return event.get("eventType") == FEEDBACK and not any(key in event for key in platform.DATASET_KEYS)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return [platform.completed(_event(value), value, mapping)]


def _event(value: object) -> ParsedEvent:
    if platform.has_other_type(value, "eventType"):
        return Skipped("not_an_event")
    payload = to_struct(value, _Payload)
    if isinstance(payload, Rejected):
        return payload
    assert isinstance(value, dict)
    return _to_event(payload, value.get("identityMap"))


def _to_event(payload: PayloadFields, identity_map: dict[str, Any] | None) -> Event:
    execution, feedback = payload.execution or platform.NO_EXECUTION, payload.feedback
    sandbox = payload.sandbox or _NO_SANDBOX
    context: dict[str, Any] = payload.context if isinstance(payload.context, dict) else _NO_CONTEXT
    status, failure = platform.status_and_failure(feedback.status.value, feedback.failure)
    return Event(
        request_id=payload.request_id,
        organization=payload.organization,
        sandbox_name=sandbox.name,
        sandbox_id=sandbox.id,
        channel=payload.channel,
        status=status,
        execution_id=execution.execution_id,
        message_type=execution.message_type,
        campaign_id=execution.campaign_id,
        campaign_version_id=execution.campaign_version_id,
        campaign_type=plain_text(execution.campaign_type),
        journey_version_id=execution.journey_version_id or None,
        offers=feedback.offers,
        exclusion=feedback.exclusion,
        failure=failure,
        retry_count=feedback.retry_count,
        identity_map=identity_map,
        further=platform.event_details(
            execution,
            feedback,
            profile_id=execution.profile_id,
            profile_address=context.get("profileAddress"),
            profile_number=context.get("profileNumber"),
        ),
    )
