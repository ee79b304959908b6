"""Decodes bytes to JSON, or describes their fault. Also decodes JSON that a line contains as text."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hookline.relay.delivery_record import Rejected
from hookline.relay.formats.dead_letter_json import is_dead_letter
from hookline.relay.formats.format import LineText

MAX_JSON_DEPTH: Final = 100

_TOO_DEEP = Rejected(f"nested deeper than {MAX_JSON_DEPTH} levels")
# A text or a number, from left to right, so that no part of a text matches as a number.
_NUMBERS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?[0-9][0-9.eE+-]*+', re.DOTALL)
# A number that no program can hold is JSON, but has no value: 1e999, or a whole number of 5,000 digits.
LARGE_NUMBER_FAULTS: Final = ("number out of range", "integer value out of range")
_decoder = msgspec.json.Decoder()
# Matches every escape from left to right, so that an escaped backslash or the second half of a pair does not match.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def decode_json(data: bytes) -> object:
    """Returns the line's JSON, a LineText if it is not JSON, or Rejected if it is not text."""
    try:
        value = _decoder.decode(data)
    except RecursionError:
        return _TOO_DEEP
    except UnicodeDecodeError:
        return _as_text(data, "not UTF-8")
    except msgspec.DecodeError as error:
        return _as_text(data, _half_character(data) or _why_not(error))
    # Walking is much more expensive than counting. A dead letter has its payload one level deeper than its line.
    if has_many_brackets(data) and _is_deeper_than(MAX_JSON_DEPTH + is_dead_letter(value), value):
        return _TOO_DEEP
    return value


def has_many_brackets(data: bytes) -> bool:
    """Returns whether the JSON has more than MAX_JSON_DEPTH opening brackets. Only then can it be deeper.

    `replace` takes half of the time of `count`, which looks at one byte after the other.
    """
    most = MAX_JSON_DEPTH + 1
    return len(data) - len(data.replace(b"{", b"", most).replace(b"[", b"", most)) > MAX_JSON_DEPTH


def without_large_numbers(data: bytes) -> object:
    """Returns the result of `decode_json` for a line with a fault of LARGE_NUMBER_FAULTS, with null for the number.

    A quick reader skips the fields that it does not use, and with them their numbers.
    """
    return decode_json(_NUMBERS.sub(_number_or_null, data))


def _number_or_null(found: re.Match[bytes]) -> bytes:
    token = found[0]
    try:
        if not token.startswith(b'"'):
            _decoder.decode(token)
    except msgspec.ValidationError:
        return b"null"
    except msgspec.DecodeError:
        pass  # not JSON, which the second decoding reports
    return token


def _as_text(data: bytes, fault: str) -> LineText | Rejected:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejected("not UTF-8: this looks like UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)")
    try:
        return LineText(data.decode(), fault)
    except UnicodeDecodeError as error:
        return Rejected(f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start + 1}")


def _half_character(data: bytes) -> str | None:
    """Returns the message for a line whose only fault is half of a surrogate pair.

    The grammar of JSON permits it (RFC 8259 §8.2), UTF-8 does not, and the decoder has no message for it.
    """
    half = next((found for found in _ESCAPES.finditer(data) if found[1]), None)
    if half is None:
        return None
    try:
        _decoder.decode(_ESCAPES.sub(lambda found: b"?" if found[1] else found[0], data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return (
        f"half of a surrogate pair (\\{half[1].decode()}) near byte {half.start() + 1}: "
        "it has no form in UTF-8; the sender has cut a character in two"
    )


def _why_not(error: msgspec.DecodeError) -> str:
    """The decoder counts bytes from 0 and is off by one after some faults, hence "near"."""
    if isinstance(error, msgspec.ValidationError):  # valid JSON, such as 1e999
        return str(error).split(" - at ")[0].lower()
    fault = str(error).removeprefix("JSON is malformed: ").split(" - at ")[0]
    fault = re.sub(r" \(byte (\d+)\)$", lambda found: f" near byte {int(found[1]) + 1}", fault)
    if fault == "Input data was truncated":
        fault = "it ends too early"
    return f"not JSON: {fault[:1].lower()}{fault[1:]}"


def _is_deeper_than(limit: int, value: object) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for node in level
            if isinstance(node, dict | list)
            for inner in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return False
    return True
