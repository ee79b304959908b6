"""What the platform's own two forms, the payload and the dataset event, have in common."""

from __future__ import annotations

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


def plain_status(status: str, failure: MessageFailure | None) -> tuple[str, MessageFailure | None]:
    """``out_of_band`` is how the platform calls a bounce that was reported later; all others stay as they are."""
    if status != _OUT_OF_BAND:
        return status, failure
    return "bounce", msgspec.structs.replace(failure or MessageFailure(), category="async")


def is_of_another_type(value: object, key: str) -> bool:
    """Whether this is a sound event, only of another type (``message.tracking`` …): not for us, and not broken."""
    named = value.get(key) if isinstance(value, dict) else None
    return isinstance(named, str) and named != FEEDBACK
