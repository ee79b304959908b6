"""SparkPost's webhooks: a list of events, each in its `msys` envelope, or the inner events, one per line.

https://developers.sparkpost.com/api/webhooks/ and
https://support.sparkpost.com/docs/tech-resources/webhook-event-reference
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import classify, email_failure, enhanced_status
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import as_object, complete_event, skip_or_reject
from hookline.relay.formats.typed_fields import JsonScalar, as_count, as_text, to_struct
from hookline.units import utc_text_of_unix

NAME = "sparkpost"
DESCRIPTION = Description(
    "email",
    "events of SparkPost's webhooks: the posted list, or one event with or without its envelope",
    "`msys`, or `event_id`, `type` and `rcpt_to`",
)

_ENVELOPE = "msys"
STATUSES: Mapping[str, str] = {
    "injection": "sent",
    "delivery": "delivered",
    "bounce": "bounce",
    "out_of_band": "bounce",
    "policy_rejection": "error",
    "generation_failure": "error",
    "generation_rejection": "error",
}
_OPENS = ("open", "initial_open", "click", "amp_open", "amp_initial_open", "amp_click")
_UNSUBSCRIBES = ("link_unsubscribe", "list_unsubscribe")
_INBOUND = ("relay_injection", "relay_rejection", "relay_delivery", "relay_tempfail", "relay_permfail")
OTHERS: tuple[str, ...] = ("delay", "spam_complaint", *_OPENS, *_UNSUBSCRIBES, *_INBOUND, "sms_status")
_NO_EVENT = Skipped("not_an_event")


class _Event(msgspec.Struct, frozen=True):
    type: str
    event_id: JsonScalar = None
    timestamp: JsonScalar = None
    message_id: JsonScalar = None
    transmission_id: JsonScalar = None
    recipient: str | None = msgspec.field(name="rcpt_to", default=None)
    bounce_class: JsonScalar = None
    reason: str | None = None
    raw_reason: str | None = None
    retries: JsonScalar = msgspec.field(name="num_retries", default=None)
    campaign_id: JsonScalar = None
    variables: Any = msgspec.field(name="rcpt_meta", default=None)


def recognizes(value: object) -> bool:
    event = as_object(value)
    return _ENVELOPE in event or ("event_id" in event and "type" in event and "rcpt_to" in event)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    if not (isinstance(value, dict) and _ENVELOPE in value):
        return [_event(value, mapping)]
    inner, within = value[_ENVELOPE], mapping.within(value)
    if inner == {}:
        return [_NO_EVENT]  # the test request of SparkPost
    return (_event(item, within) for item in (inner.values() if isinstance(inner, dict) else [inner]))


def _event(value: Any, mapping: FieldMapping) -> ParsedEvent:
    event = to_struct(value, _Event)
    if isinstance(event, Rejected):
        return skip_or_reject(event, value.get("type") if isinstance(value, dict) else None, STATUSES)
    status = STATUSES.get(event.type)
    if status is None:
        return Skipped("status_not_relayed", event.type)
    event_id = as_text(event.event_id)
    parsed = Event(
        identity=f"sparkpost:{event_id}" if event_id else None,
        status=status,
        time=utc_text_of_unix(event.timestamp),
        failure=_failure(event, status),
        detail=event.raw_reason or event.reason,
        retry_count=as_count(event.retries),
        execution_id=as_text(event.message_id),
        request_id=as_text(event.transmission_id),  # the API request of the message
        campaign_id=as_text(event.campaign_id),
    )
    return complete_event(parsed, value, mapping, recipient=event.recipient, variables=event.variables)


def _failure(event: _Event, status: str) -> MessageFailure | None:
    """Returns the failure. `bounce_class` is the platform's code; an unknown one counts as absent.

    An error without `bounce_class` is SparkPost's decision; its status code is not from the recipient's server.
    """
    if status not in ("bounce", "error"):
        return None
    wording = event.reason or event.raw_reason
    code = as_count(event.bounce_class)
    if code is None and status == "bounce":
        code = classify(enhanced_status(wording), wording)
    return email_failure(code, "async" if event.type == "out_of_band" else "sync", wording=wording)
