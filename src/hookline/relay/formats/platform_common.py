"""The common parts of the platform's two formats, the payload and the dataset event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.json_decoding import MAX_JSON_DEPTH
from hookline.relay.formats.provider_event import read_each

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


class PlatformIdentity(msgspec.Struct, frozen=True):
    """One entry of an identity map, with the keys that the relay uses. Other keys are passed through."""

    id: str
    primary: bool | None = None


IdentityMap = dict[str, list[PlatformIdentity]]


# An identity map as passed through. `sound` is true if it is also an IdentityMap.
PlainIdentityMap = dict[str, list[dict[str, Any]]]

_Shape = TypeVar("_Shape")


def well_formed(identity_map: PlainIdentityMap | None) -> bool:
    for entries in (identity_map or {}).values():
        for entry in entries:
            if type(entry.get("id")) is not str or type(entry.get("primary", False)) is not bool:
                return False
    return True


def quickly(data: bytes, decoder: msgspec.json.Decoder[_Shape]) -> _Shape | None:
    """Returns the line decoded directly into its shape, or None if only the full decoder can read it.

    This takes a third of the time, because fields outside the shape are skipped unread. It must therefore refuse
    every line that the full decoder treats differently: escaped names, deep nesting, and bytes that are not UTF-8.
    """
    if b"\\" in data or data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH:
        return None
    try:
        if not data.isascii():
            data.decode()
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def plain_status(status: str, failure: MessageFailure | None) -> tuple[str, MessageFailure | None]:
    """Returns ``bounce`` for ``out_of_band``, the platform's name for a bounce that was reported later; others
    unchanged.
    """
    if status != _OUT_OF_BAND:
        return status, failure
    return "bounce", msgspec.structs.replace(failure or MessageFailure(), category="async")


def is_of_another_type(value: object, key: str) -> bool:
    """Returns whether this is a valid event of another type (``message.tracking`` …), to be skipped and not
    rejected.
    """
    named = value.get(key) if isinstance(value, dict) else None
    return isinstance(named, str) and named != FEEDBACK


def event_details(
    *,
    message_id: object,
    profile_id: object,
    profile_number: object,
    encoding: object,
    message_parts: object,
    delivered_at: object,
    profile_address: object = None,
    response_code: object = None,
    response_millis: object = None,
) -> EventDetails | None:
    """Returns the fields that only structure 2 of the payload contains, or None if the event has none of them.

    Structure 1 does not use these fields. A value of another type therefore counts as absent and does not reject
    the line.
    """
    said = (message_id, profile_id, profile_number, encoding, message_parts, delivered_at, profile_address)
    if said == _NOTHING and response_code is None and response_millis is None:
        return None
    return EventDetails(
        message_id=_text(message_id),
        profile_id=_text(profile_id),
        profile_address=_text(profile_address),
        profile_number=_text(profile_number),
        response_code=response_code if type(response_code) is int else _text(response_code),
        response_millis=response_millis if type(response_millis) is int else None,
        encoding=_text(encoding),
        message_parts=_text(message_parts),
        delivered_at=_text(delivered_at),
    )


_NOTHING = (None,) * 7


def each_completed(
    value: object, hints: FieldMapping, read: Callable[[object], ParsedEvent]
) -> Iterable[ParsedEvent]:
    """Yields the result of `read` for the line, or for each item of its list, completed by `hints`."""

    def completed(one: object, hints: FieldMapping) -> ParsedEvent:
        said = read(one)
        return hints.completed(said, one) if hints.paths and isinstance(said, Event) else said

    return read_each(value, hints, completed)


def _text(value: object) -> str | None:
    return value if value is None or (type(value) is str and value) else plain_text(value)
