"""The common parts of providers' events: one recipient, the provider's status, and custom variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hookline.model import Channel
from hookline.relay.delivery_record import MAX_DETAIL_CHARACTERS, Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import RECIPIENT, FieldMapping, fields_in_variables
from hookline.relay.formats.format import ParsedEvent

_NAMESPACES: dict[str, str] = {Channel.EMAIL: "email", Channel.SMS: "Phone"}


def complete_event(
    event: Event, source: object, mapping: FieldMapping, *, recipient: str | None, variables: object = None
) -> ParsedEvent:
    """Returns the event with its recipient and the payload's fields, or Rejected if it has no recipient.

    The fields come from `variables`, otherwise from `mapping`, otherwise from `event`. An event without a channel is
    an email.

    Args:
        event: the fields that the provider gives, or their equivalents.
        source: the object in which `mapping` finds further fields.
        mapping: the paths of ``--map``.
        recipient: the provider's recipient.
        variables: custom arguments, tags or metadata. Objects other than a dict have no effect.
    """
    values = fields_in_variables(variables)
    if mapping.paths:
        values = {**mapping.found(source), **values}
    recipient = recipient or values.get(RECIPIENT)
    values.pop(RECIPIENT, None)
    if not recipient:
        return Rejected("no recipient: the event names no recipient; --map recipient=PATH supplies it")
    channel = event.channel or Channel.EMAIL
    return msgspec.structs.replace(
        event,
        channel=channel,
        identity_map={_NAMESPACES.get(channel, channel): [{"id": recipient, "primary": True}]},
        detail=event.detail[:MAX_DETAIL_CHARACTERS] if event.detail else None,
        **values,
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


def first_object(value: object) -> dict[str, Any]:
    """Returns the object by which a line is recognized: the line itself, the first item of its list, or {}."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}
