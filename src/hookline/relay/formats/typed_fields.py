"""Checks lines against declared shapes: strict about types, and precise about the field that does not match."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from hookline.escaping import printable
from hookline.relay.delivery_record import Rejected
from hookline.relay.formats.format import LineText

Shape = TypeVar("Shape", bound=msgspec.Struct)

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
_PLACED = re.compile(r"^(?P<fault>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<field>.+)`$")
_OTHER_TYPE = re.compile(r"^Expected `(?P<wanted>.+)`, got `(?P<found>.+)`$")


def shaped(value: object, shape: type[Shape]) -> Shape | Rejected:
    """Returns the line as `shape`, or its fault. A number in place of a text is a fault and is not converted."""
    if isinstance(value, LineText):
        return Rejected(value.fault)
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        # A fault contains keys chosen by the line's author.
        return Rejected(printable(_in_plain_words(str(error))))


def _in_plain_words(fault: str) -> str:
    placed = _PLACED.match(fault)
    assert placed is not None
    path = placed["path"] or ""
    if missing := _MISSING.match(placed["fault"]):
        return f"{path}.{missing['field']}: missing" if path else f"{missing['field']}: missing"
    what = placed["fault"]
    if other := _OTHER_TYPE.match(what):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in other["wanted"].split(" | "))
        what = f"expected {wanted}, found {_KINDS.get(other['found'], other['found'])}"
    return f"{path}: {what}" if path else f"the line: {what}"
