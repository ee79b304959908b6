"""Resolves plain (unquoted) YAML values on which YAML 1.1 and YAML 1.2 agree.

YAML 1.1 (https://yaml.org/type/) reads ``no`` as false, ``010`` as 8 and ``12:30:00`` as 45000. The core schema of
YAML 1.2 (§10.3.2) reads a string, 10 and a string. A reviewer cannot see which version an organization's other tools
use. Therefore values that the versions read differently are refused, and so are values that JSON cannot represent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PlainScalar = str | int | float | bool | None

# A JSON parser that stores numbers as doubles changes larger integers (RFC 8259 §6).
MAX_YAML_INTEGER = 2**53 - 1

BOOLEAN_WORDS = "true or false"
NUMBERS = ("a number", "an octal number", "a binary or hexadecimal number")

_WORDS: dict[str, PlainScalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BOOLEANS_OF_1_1 = frozenset(
    spelling for word in ("y", "n", "yes", "no", "on", "off") for spelling in (word, word.capitalize(), word.upper())
)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_FIRST_OF_NUMBER = frozenset("0123456789-+.=")
# Nearly every value begins with another character, and is a string.
_FIRST_OF_SPECIAL = _FIRST_OF_NUMBER.union(word[:1] for word in (*_WORDS, *_BOOLEANS_OF_1_1))
_MAX_NUMBER_CHARACTERS = 400

_AMBIGUOUS_FORMS = (
    (re.compile(r"=|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), "a special value"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9].*"), "a date"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?0[0-9_]+|[-+]?0o[0-7_]+"), "an octal number"),
    (re.compile(r"[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]+"), "a binary or hexadecimal number"),
    (re.compile(r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"), "a number"),
)
# Every text that matches one of the forms. Most texts that begin with a digit match none, such as 10s.
_AMBIGUOUS = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in _AMBIGUOUS_FORMS))


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """A text that some YAML parsers do not read as a string, but as `reading`."""

    text: str
    reading: str


def resolve(text: str) -> PlainScalar | Ambiguous:
    """Returns the value of a plain scalar if all YAML parsers agree on it, otherwise Ambiguous."""
    if text and text[0] not in _FIRST_OF_SPECIAL:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _BOOLEANS_OF_1_1:
        return Ambiguous(text, BOOLEAN_WORDS)
    if text[0] not in _FIRST_OF_NUMBER:
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> PlainScalar | Ambiguous:
    if len(text) <= _MAX_NUMBER_CHARACTERS:
        if _INTEGER.fullmatch(text):
            number = int(text, 0)
            return number if abs(number) <= MAX_YAML_INTEGER else Ambiguous(text, "a rounded number")
        if _FLOAT.fullmatch(text) and abs(decimal := float(text)) != float("inf"):
            return decimal
    elif text.isdigit():
        return Ambiguous(text, "a rounded number")
    if _AMBIGUOUS.fullmatch(text) is None:
        return text
    return Ambiguous(text, next(reading for pattern, reading in _AMBIGUOUS_FORMS if pattern.fullmatch(text)))
