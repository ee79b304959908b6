"""The common parts of providers' events: one recipient, the provider's status, and custom variables."""

from __future__ import annotations

from collections.abc import Mapping
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
        recipient: the provider's recipient. A path of ``--map`` to another one has priority, as for every field.
        variables: custom arguments, tags or metadata. Objects other than a dict have no effect.
    """
    values = fields_in_variables(variables)
    if mapping.paths:
        values = {**mapping.found(source), **values}
    recipient = values.pop(RECIPIENT, None) or recipient
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
    """Returns the recipient for an identity that includes it: the event's own, so that the recipients of one event
    differ, or the one of `mapping`.
    """
    return recipient or (mapping.found(source).get(RECIPIENT) if mapping.paths else None)


def as_object(value: object) -> dict[str, Any]:
    """Returns the object by which an item is recognized, or {}."""
    return value if isinstance(value, dict) else {}
