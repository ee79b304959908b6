"""What the platform's own two forms, the payload and the dataset event, have in common."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from hookline.relay.feedback import MessageFailure

FEEDBACK = "message.feedback"
# An event of a dataset has at least one of these, a payload none: so a broken line of one is not taken for the other.
DATASET_KEYS = ("_experience", "_id", "@id", "xdm:eventType")
_OUT_OF_BAND = "out_of_band"


class Identity(msgspec.Struct, frozen=True):
    """One entry of an identity map, as far as the relay relies on it. Further keys are passed through."""

    id: str
    primary: bool | None = None


IdentityMap = dict[str, list[Identity]]


# An identity map as it is passed through: `sound` says whether it is also an IdentityMap.
PlainIdentityMap = dict[str, list[dict[str, Any]]]

MOST_BRACKETS = 100  # with so few, no line is nested deeper than is read at all (reading.DEEPEST)
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
    if b"\\" in data or data.count(b"{") + data.count(b"[") > MOST_BRACKETS:
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
