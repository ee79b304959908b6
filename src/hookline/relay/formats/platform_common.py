"""The common parts of the platform's two formats, the payload and the dataset event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.json_decoding import has_many_brackets
from hookline.relay.payload_line import FEEDBACK, LineExecution, LineFeedback, RawIdentityMap

# A dataset event has at least one of these, a payload has none. An invalid line of one is not read as the other.
DATASET_KEYS = ("_experience", "_id", "@id", "xdm:eventType")
_BACKSLASH = b"\\"[0]  # a search for the text takes six times as long
_OUT_OF_BAND = "out_of_band"
STATUSES: Mapping[str, str] = {
    "sent": "sent",
    "delivered": "delivered",
    "bounce": "bounce",
    "error": "error",
    _OUT_OF_BAND: "bounce",
}
OTHERS: tuple[str, ...] = ("delay", "exclude", "duplicate", "denylist", "read", "unknown")


NO_EXECUTION = LineExecution()


class PlatformIdentity(msgspec.Struct, frozen=True):
    """One entry of an identity map, with the keys that the relay uses. Other keys are passed through."""

    id: str
    primary: bool | None = None


IdentityMap = dict[str, list[PlatformIdentity]]

_DETAILS = EventDetails.__struct_fields__
_NUMBERS = ("response_code", "response_millis")
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
    if _BACKSLASH in data or has_many_brackets(data):
        return None
    try:
        if not data.isascii():
            data.decode()
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def status_and_failure(status: str, failure: MessageFailure | None) -> tuple[str, MessageFailure | None]:
    """Returns both as the relay sends them. ``out_of_band`` is a bounce that was reported later."""
    if status != _OUT_OF_BAND:
        return status, failure
    return "bounce", msgspec.structs.replace(failure or MessageFailure(), category="async")


def has_other_type(value: object, key: str) -> bool:
    """Returns whether this is an event of another type (``message.tracking`` …), which is skipped."""
    name = value.get(key) if isinstance(value, dict) else None
    return isinstance(name, str) and name != FEEDBACK


def event_details(
    execution: LineExecution,
    feedback: LineFeedback,
    *,
    profile_id: Any,
    profile_address: Any,
    profile_number: Any,
) -> EventDetails | None:
    """Returns the fields that only structure 2 of the payload contains, or None if the event has none of them.

    A value of another type counts as absent and does not reject the line, because structure 1 does not use it.
    """
    values = (  # in the order of EventDetails
        execution.message_id,
        profile_id,
        profile_address,
        profile_number,
        feedback.response_code,
        feedback.response_millis,
        feedback.encoding,
        feedback.message_parts,
        feedback.delivered_at,
    )
    found = {
        name: _detail(name, value)
        for name, value in zip(_DETAILS, values, strict=True)
        if value is not None and value is not UNSET
    }
    return EventDetails(**found) if found else None


def _detail(name: str, value: Any) -> Any:
    if type(value) is str and name not in _NUMBERS:
        return value or None
    if name in _NUMBERS and type(value) is int:
        return value
    return None if name == "response_millis" else plain_text(value)


def completed(parsed: ParsedEvent, item: object, mapping: FieldMapping) -> ParsedEvent:
    """Returns the event with the values of `mapping` for its absent fields."""
    return mapping.completed(parsed, item) if mapping.paths and isinstance(parsed, Event) else parsed
