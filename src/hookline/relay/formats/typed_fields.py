"""Converts lines to structs, with strict types, and the values of their fields. A fault names the field."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from hookline.escaping import printable
from hookline.relay.delivery_record import Rejected
from hookline.relay.field_mapping import MAX_MAPPED_INTEGER
from hookline.relay.formats.format import LineText

JsonScalar = str | int | float | None
_MAX_EXACT_FLOAT = 2**53  # above this, a fraction may have lost digits
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
    path, message = placed["path"] or "", placed["fault"]
    if missing := _MISSING.match(message):
        return f"{path}.{missing['field']}: missing" if path else f"{missing['field']}: missing"
    if other := _OTHER_TYPE.match(message):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in other["wanted"].split(" | "))
        message = f"expected {wanted}, found {_KINDS.get(other['found'], other['found'])}"
    return f"{path}: {message}" if path else f"the line: {message}"


def as_text(value: JsonScalar) -> str | None:
    """Returns as text a value that providers write as a text or a number; None if it is absent."""
    if value is None or isinstance(value, str):
        return value or None
    if not abs(value) < (_MAX_EXACT_FLOAT if isinstance(value, float) else MAX_MAPPED_INTEGER):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_count(value: JsonScalar) -> int | None:
    """Returns a number of fewer than 10 digits that can also be written as text; None for any other value."""
    text = as_text(value)
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else None


def mailbox(address: str | None) -> str | None:
    """Returns the address of a mailbox, without its display name (RFC 5322 §3.4)."""
    if address and address.endswith(">") and "<" in address:
        return address[address.rindex("<") + 1 : -1] or None
    return address or None
