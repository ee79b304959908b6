"""The common parts of providers' events: one recipient, the provider's status, and custom variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hookline.model import Channel
from hookline.relay.delivery_record import MAX_DETAIL_CHARACTERS, Rejected, Skipped
from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import MAX_MAPPED_INTEGER, RECIPIENT, FieldMapping, fields_in_variables
from hookline.relay.formats.format import ParsedEvent

JsonScalar = str | int | float | None

_MAX_EXACT_FLOAT = 2**53  # above this, a fraction may have lost digits
_NAMESPACES = {Channel.EMAIL: "email", Channel.SMS: "Phone"}


class ProviderFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a provider's event, as arguments of `build_event`.

    Attributes:
        identity: the provider's event id, with the format as its prefix.
        status: the platform's status.
        variables: custom arguments, tags or metadata of the event. Objects other than a dict have no effect.
        time: ISO 8601.
        detail: the provider's text, for people.
        execution_id: the provider's equivalent of the message execution, for example its message id.
        request_id: the provider's equivalent of the request.
        campaign_id: the provider's equivalent of the campaign.
    """

    identity: str | None
    status: str
    recipient: str | None
    variables: object = None
    channel: str = Channel.EMAIL
    time: str | None = None
    failure: MessageFailure | None = None
    detail: str | None = None
    retry_count: int | None = None
    further: EventDetails | None = None
    execution_id: str | None = None
    request_id: str | None = None
    campaign_id: str | None = None


def build_event(source: object, mapping: FieldMapping, fields: ProviderFields) -> ParsedEvent:
    """Returns a provider's event, or Rejected if it has no recipient.

    The fields of the payload come from `fields.variables`, otherwise from the paths of `mapping` in `source`,
    otherwise from the provider's equivalent field.
    """
    values = fields_in_variables(fields.variables)
    if mapping.paths:
        values = {**mapping.found(source), **values}
    recipient = fields.recipient or values.get(RECIPIENT)
    if not recipient:
        return Rejected("no recipient: the event names no recipient; --map recipient=PATH supplies it")
    channel = fields.channel
    return Event(
        identity=fields.identity,
        request_id=values.get("request_id") or fields.request_id,
        organization=values.get("organization"),
        sandbox_name=values.get("sandbox_name"),
        sandbox_id=values.get("sandbox_id"),
        channel=channel,
        status=fields.status,
        execution_id=values.get("execution_id") or fields.execution_id,
        message_type=values.get("message_type"),
        campaign_id=values.get("campaign_id") or fields.campaign_id,
        campaign_version_id=values.get("campaign_version_id"),
        campaign_type=values.get("campaign_type"),
        failure=fields.failure,
        retry_count=fields.retry_count,
        identity_map={_NAMESPACES.get(channel, channel): [{"id": recipient, "primary": True}]},  # type: ignore[call-overload]
        time=fields.time,
        further=fields.further,
        detail=fields.detail[:MAX_DETAIL_CHARACTERS] if fields.detail else None,
    )


def skip_or_reject(fault: Rejected, status: object, statuses: Mapping[str, str]) -> Rejected | Skipped:
    """Returns Skipped if the provider's `status` is skipped, otherwise the `fault` of the line."""
    if isinstance(status, str) and status and status not in statuses:
        return Skipped("status_not_relayed", status)
    return fault


def recipient_of(recipient: str | None, source: object, mapping: FieldMapping) -> str | None:
    """Returns the recipient of the event, or the one of `mapping`, for an identity that includes the recipient."""
    return recipient or (mapping.found(source).get(RECIPIENT) if mapping.paths else None)


def each_item(value: object) -> Iterator[Any]:
    """Yields the events of a line: the items of a list, or the line itself, also if it is a LineText."""
    if isinstance(value, list) and value:
        yield from value
    else:
        yield value


def map_items(
    value: object, mapping: FieldMapping, parse: Callable[[Any, FieldMapping], ParsedEvent]
) -> Iterable[ParsedEvent]:
    """Yields the result of `parse` for each event of the line, one by one."""
    if isinstance(value, list) and value:
        return (parse(item, mapping) for item in value)
    return [parse(value, mapping)]


def first_object(value: object) -> dict[str, Any] | None:
    """Returns the object by which a line is recognized: the line itself, or the first item of its list."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def as_text(value: JsonScalar) -> str | None:
    """Returns as text a value that providers write as a text or a number; None if it is absent."""
    if value is None or isinstance(value, str):
        return value or None
    if not abs(value) < (_MAX_EXACT_FLOAT if isinstance(value, float) else MAX_MAPPED_INTEGER):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_count(value: JsonScalar) -> int | None:
    """Returns a number of fewer than 10 digits that can also be written as text; None for any other value."""
    text = as_text(value)
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def mailbox(address: str | None) -> str | None:
    """Returns the address of a mailbox, without its display name (RFC 5322 §3.4)."""
    if address and address.endswith(">") and "<" in address:
        return address[address.rindex("<") + 1 : -1] or None
    return address or None
