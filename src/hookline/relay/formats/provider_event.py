"""The common parts of providers' events: one recipient, the provider's status, and custom variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hookline.model import Channel
from hookline.relay.delivery_record import MAX_DETAIL_CHARACTERS, Rejected, Skipped
from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import MAX_MAPPED_INTEGER, RECIPIENT, FieldMapping, carried
from hookline.relay.formats.format import ParsedEvent

JsonScalar = str | int | float | None

_EXACT = 2**53  # above this, a fraction may have lost digits
_NAMESPACES = {Channel.EMAIL: "email", Channel.SMS: "Phone"}


def provided(
    source: object,
    hints: FieldMapping,
    *,
    identity: str | None,
    status: str,
    recipient: str | None,
    variables: object = None,
    channel: str = Channel.EMAIL,
    time: str | None = None,
    failure: MessageFailure | None = None,
    detail: str | None = None,
    retry_count: int | None = None,
    further: EventDetails | None = None,
    execution_id: str | None = None,
    request_id: str | None = None,
    campaign_id: str | None = None,
) -> ParsedEvent:
    """Returns a provider's event.

    A field comes from its `variables`, otherwise from the paths of `hints` in `source`, otherwise from the
    provider's equivalent field (`execution_id`, `request_id`, `campaign_id`). `identity` has the format as its
    prefix. `detail` is the provider's text.
    """
    said = {**hints.found(source), **carried(variables)} if hints.paths else carried(variables)
    recipient = recipient or said.get(RECIPIENT)
    if not recipient:
        return Rejected(
            "no recipient: the event does not say whose message it is of; --map recipient=PATH supplies it"
        )
    return Event(
        identity=identity,
        request_id=said.get("request_id") or request_id,
        organization=said.get("organization"),
        sandbox_name=said.get("sandbox_name"),
        sandbox_id=said.get("sandbox_id"),
        channel=channel,
        status=status,
        execution_id=said.get("execution_id") or execution_id,
        message_type=said.get("message_type"),
        campaign_id=said.get("campaign_id") or campaign_id,
        campaign_version_id=said.get("campaign_version_id"),
        campaign_type=said.get("campaign_type"),
        failure=failure,
        retry_count=retry_count,
        identity_map={_NAMESPACES.get(channel, channel): [{"id": recipient, "primary": True}]},  # type: ignore[call-overload]
        time=time,
        further=further,
        detail=detail[:MAX_DETAIL_CHARACTERS] if detail else None,
    )


def unless_skipped(fault: Rejected, told: object, statuses: Mapping[str, str]) -> Rejected | Skipped:
    """Returns the result for a line with a fault and the provider's status `told`. A skipped status needs no valid
    fields.
    """
    return Skipped("status_not_relayed", told) if isinstance(told, str) and told and told not in statuses else fault


def recipient_of(told: str | None, source: object, hints: FieldMapping) -> str | None:
    """Returns the recipient of the event, or the one of `hints`, for an identity that includes the recipient."""
    return told or (hints.found(source).get(RECIPIENT) if hints.paths else None)


def each(value: object) -> Iterator[Any]:
    """Returns the events of a line: the items of a list, or the line itself. A Text counts as one, for `shaped` to
    refuse.
    """
    if isinstance(value, list) and value:
        yield from value
    else:
        yield value


def read_each(
    value: object, hints: FieldMapping, read: Callable[[Any, FieldMapping], ParsedEvent]
) -> Iterable[ParsedEvent]:
    """Yields the result of `read` for each event of the line, one by one."""
    if isinstance(value, list) and value:
        return (read(one, hints) for one in value)
    return [read(value, hints)]


def first(value: object) -> dict[str, Any] | None:
    """Returns the object by which a line is recognized: the line itself, or the first item of its list."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def text(value: JsonScalar) -> str | None:
    """Returns as text a value that providers write as a text or a number; None if it is absent."""
    if value is None or isinstance(value, str):
        return value or None
    if not abs(value) < (_EXACT if isinstance(value, float) else MAX_MAPPED_INTEGER):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def count(value: JsonScalar) -> int | None:
    """Returns a small number that can also be written as text; None if the value is not a number."""
    written = text(value)
    return int(written) if written is not None and written.isdecimal() and len(written) < 10 else None


def mailbox(address: str | None) -> str | None:
    """Returns the address of a mailbox, without its display name (RFC 5322 §3.4)."""
    if address and address.endswith(">") and "<" in address:
        return address[address.rindex("<") + 1 : -1] or None
    return address or None
