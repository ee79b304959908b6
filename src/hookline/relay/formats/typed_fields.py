"""Converts lines to structs, with strict types. A fault names the field that does not match."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from hookline.escaping import printable
from hookline.relay.delivery_record import Rejected
from hookline.relay.formats.format import LineText

StructType = TypeVar("StructType", bound=msgspec.Struct)

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


def to_struct(value: object, struct_type: type[StructType]) -> StructType | Rejected:
    """Returns the line as a `struct_type`, or Rejected with its fault. Numbers are not converted to text."""
    if isinstance(value, LineText):
        return Rejected(value.fault)
    try:
        return msgspec.convert(value, struct_type)
    except msgspec.ValidationError as error:
        # A fault contains keys chosen by the line's author.
        return Rejected(printable(_in_plain_words(str(error))))


def _in_plain_words(fault: str) -> str:
    placed = _PLACED.match(fault)
    assert placed is not None
    path = placed["path"] or ""
    if missing := _MISSING.match(placed["fault"]):
        return f"{path}.{missing['field']}: missing" if path else f"{missing['field']}: missing"
    message = placed["fault"]
    if other := _OTHER_TYPE.match(message):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in other["wanted"].split(" | "))
        message = f"expected {wanted}, found {_KINDS.get(other['found'], other['found'])}"
    return f"{path}: {message}" if path else f"the line: {message}"
