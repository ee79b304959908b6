"""The common parts of the platform's two formats, the payload and the dataset event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.json_decoding import MAX_JSON_DEPTH
from hookline.relay.formats.provider_event import map_items

FEEDBACK = "message.feedback"
# A dataset event has at least one of these, a payload has none. An invalid line of one is not read as the other.
DATASET_KEYS = ("_experience", "_id", "@id", "xdm:eventType")
_OUT_OF_BAND = "out_of_band"
STATUSES: Mapping[str, str] = {
    "sent": "sent",
    "delivered": "delivered",
    "bounce": "bounce",
    "error": "error",
    _OUT_OF_BAND: "bounce",
}
OTHERS: tuple[str, ...] = ("delay", "exclude", "duplicate", "denylist", "read", "unknown")


class PlatformExecution(msgspec.Struct, frozen=True):
    """`messageExecution`, the same object in both formats. `profile_id` is in payloads only."""

    execution_id: str | None = msgspec.field(name="messageExecutionID", default=None)
    message_type: str | None = msgspec.field(name="messageType", default=None)
    campaign_id: str | None = msgspec.field(name="campaignID", default=None)
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID", default=None)
    journey_version_id: str | None = msgspec.field(name="journeyVersionID", default=None)
    message_id: Any = msgspec.field(name="messageID", default=None)
    profile_id: Any = msgspec.field(name="messageProfileID", default=None)
    campaign_type: Any = msgspec.field(name="campaignType", default=None)


NO_EXECUTION = PlatformExecution()


class PlatformIdentity(msgspec.Struct, frozen=True):
    """One entry of an identity map, with the keys that the relay uses. Other keys are passed through."""

    id: str
    primary: bool | None = None


IdentityMap = dict[str, list[PlatformIdentity]]
# An identity map as it is passed through. It is also an IdentityMap if it is well formed.
RawIdentityMap = dict[str, list[dict[str, Any]]]

_Struct = TypeVar("_Struct")


def is_well_formed(identity_map: RawIdentityMap | None) -> bool:
    """Returns whether the identity map is also an IdentityMap."""
    for entries in (identity_map or {}).values():
        for entry in entries:
            if type(entry.get("id")) is not str or type(entry.get("primary", False)) is not bool:
                return False
    return True


def decode_quickly(data: bytes, decoder: msgspec.json.Decoder[_Struct]) -> _Struct | None:
    """Returns the line decoded directly into a struct, or None if only the full decoder can read it.

    This takes a third of the time, because other fields are skipped unread. It must therefore refuse every line
    that the full decoder treats differently: escaped names, deep nesting, and bytes that are not UTF-8.
    """
    if b"\\" in data or data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH:
        return None
    try:
        if not data.isascii():
            data.decode()
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def platform_status(status: str, failure: MessageFailure | None) -> tuple[str, MessageFailure | None]:
    """Returns ``bounce`` for ``out_of_band``, a bounce that was reported later, and other statuses unchanged."""
    if status != _OUT_OF_BAND:
        return status, failure
    return "bounce", msgspec.structs.replace(failure or MessageFailure(), category="async")


def has_other_type(value: object, key: str) -> bool:
    """Returns whether this is an event of another type (``message.tracking`` …), which is skipped."""
    name = value.get(key) if isinstance(value, dict) else None
    return isinstance(name, str) and name != FEEDBACK


class RawDetails(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The values of EventDetails as they are in the line, of any type."""

    message_id: object = None
    profile_id: object = None
    profile_address: object = None
    profile_number: object = None
    response_code: object = None
    response_millis: object = None
    encoding: object = None
    message_parts: object = None
    delivered_at: object = None


_NO_DETAILS = RawDetails()


def event_details(raw: RawDetails) -> EventDetails | None:
    """Returns the fields that only structure 2 of the payload contains, or None if the event has none of them.

    Structure 1 does not use these fields. A value of another type therefore counts as absent and does not reject
    the line.
    """
    if raw == _NO_DETAILS:
        return None
    return EventDetails(
        message_id=_text(raw.message_id),
        profile_id=_text(raw.profile_id),
        profile_address=_text(raw.profile_address),
        profile_number=_text(raw.profile_number),
        response_code=raw.response_code if type(raw.response_code) is int else _text(raw.response_code),
        response_millis=raw.response_millis if type(raw.response_millis) is int else None,
        encoding=_text(raw.encoding),
        message_parts=_text(raw.message_parts),
        delivered_at=_text(raw.delivered_at),
    )


def map_and_complete(
    value: object, mapping: FieldMapping, parse: Callable[[object], ParsedEvent]
) -> Iterable[ParsedEvent]:
    """Yields the result of `parse` for the line, or for each item of its list, completed by `mapping`."""

    def completed(item: object, mapping: FieldMapping) -> ParsedEvent:
        parsed = parse(item)
        return mapping.completed(parsed, item) if mapping.paths and isinstance(parsed, Event) else parsed

    return map_items(value, mapping, completed)


def _text(value: object) -> str | None:
    return value if value is None or (type(value) is str and value) else plain_text(value)
