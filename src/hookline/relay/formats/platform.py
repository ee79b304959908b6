"""What the platform's own two forms, the payload and the dataset event, have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from hookline.relay.feedback import Event, Further, MessageFailure
from hookline.relay.formats.decoding import DEEPEST
from hookline.relay.formats.port import Reading
from hookline.relay.formats.provided import read_each
from hookline.relay.hints import Hints, plain_text

FEEDBACK = "message.feedback"
# An event of a dataset has at least one of these, a payload none: so a broken line of one is not taken for the other.
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


class Identity(msgspec.Struct, frozen=True):
    """One entry of an identity map, as far as the relay relies on it. Further keys are passed through."""

    id: str
    primary: bool | None = None


IdentityMap = dict[str, list[Identity]]


# An identity map as it is passed through: `sound` says whether it is also an IdentityMap.
PlainIdentityMap = dict[str, list[dict[str, Any]]]

_Shape = TypeVar("_Shape")


def sound(identity_map: PlainIdentityMap | None) -> bool:
    for entries in (identity_map or {}).values():
        for entry in entries:
            if type(entry.get("id")) is not str or type(entry.get("primary", False)) is not bool:
                return False
    return True


def quickly(data: bytes, decoder: msgspec.json.Decoder[_Shape]) -> _Shape | None:
    """The line decoded straight into its shape; None where only the careful path can tell what it is.

    A third of the time of decoding everything, since what no field of the shape asks for is skipped unread. So this
    must refuse what would be noticed there: names in disguise (escapes), deep nesting, and bytes that are not UTF-8.
    """
    if b"\\" in data or data.count(b"{") + data.count(b"[") > DEEPEST:
        return None
    try:
        if not data.isascii():
            data.decode()
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def plain_status(status: str, failure: MessageFailure | None) -> tuple[str, MessageFailure | None]:
    """``out_of_band`` is how the platform calls a bounce that was reported later; all others stay as they are."""
    if status != _OUT_OF_BAND:
        return status, failure
    return "bounce", msgspec.structs.replace(failure or MessageFailure(), category="async")


def is_of_another_type(value: object, key: str) -> bool:
    """Whether this is a sound event, only of another type (``message.tracking`` …): not for us, and not broken."""
    named = value.get(key) if isinstance(value, dict) else None
    return isinstance(named, str) and named != FEEDBACK


def further(
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
) -> Further | None:
    """What only structure 2 of the payload shows; None where nothing of it is said.

    These fields are new and of no consequence to structure 1: a value of another type is as good as none, and no
    reason to refuse the line.
    """
    said = (message_id, profile_id, profile_number, encoding, message_parts, delivered_at, profile_address)
    if said == _NOTHING and response_code is None and response_millis is None:
        return None
    return Further(
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


def each_completed(value: object, hints: Hints, read: Callable[[object], Reading]) -> Iterable[Reading]:
    """What `read` makes of the line, or of each item of its list, with what `hints` find besides."""

    def completed(one: object, hints: Hints) -> Reading:
        said = read(one)
        return hints.completed(said, one) if hints.paths and isinstance(said, Event) else said

    return read_each(value, hints, completed)


def _text(value: object) -> str | None:
    return value if value is None or (type(value) is str and value) else plain_text(value)
