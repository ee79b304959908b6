"""What a plain (unquoted) YAML value means, where YAML 1.1 and YAML 1.2 agree on it.

YAML 1.1 (https://yaml.org/type/) reads ``no`` as false, ``010`` as 8 and ``12:30:00`` as 45000; the core schema of
YAML 1.2 (§10.3.2) reads a string, 10 and a string. A reviewer cannot see which reader an organization's other tools
use, so what the two read differently is refused, and so is what JSON cannot hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PlainScalar = str | int | float | bool | None

# Beyond 2**53 a reader of JSON that keeps numbers as doubles changes the number (RFC 8259 §6).
MAX_YAML_INTEGER = 2**53 - 1

BOOLEAN_WORDS = "true or false"
NUMBERS = ("a number", "an octal number", "a binary or hexadecimal number")

_WORDS: dict[str, PlainScalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TRUTH_OF_1_1 = frozenset(
    spelling for word in ("y", "n", "yes", "no", "on", "off") for spelling in (word, word.capitalize(), word.upper())
)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_FIRST_OF_NUMBER = frozenset("0123456789-+.=")
# Nearly every value begins with none of these, and is a string.
_FIRST_OF_SPECIAL = _FIRST_OF_NUMBER.union(word[:1] for word in (*_WORDS, *_TRUTH_OF_1_1))
_TOO_LONG_FOR_A_NUMBER = 400

_DIFFERENT = (
    (re.compile(r"=|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), "a special value"),
    (re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9].*"), "a date"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?0[0-9_]+|[-+]?0o[0-7_]+"), "an octal number"),
    (re.compile(r"[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]+"), "a binary or hexadecimal number"),
    (re.compile(r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"), "a number"),
)


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """`reading` says what some readers take the text for."""

    text: str
    reading: str


def resolve(text: str) -> PlainScalar | Ambiguous:
    """The value of a plain scalar in every reader of YAML, or what makes it ambiguous."""
    if text and text[0] not in _FIRST_OF_SPECIAL:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _TRUTH_OF_1_1:
        return Ambiguous(text, BOOLEAN_WORDS)
    if text[0] not in _FIRST_OF_NUMBER:
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> PlainScalar | Ambiguous:
    if len(text) <= _TOO_LONG_FOR_A_NUMBER:
        if _INTEGER.fullmatch(text):
            number = int(text, 0)
            return number if abs(number) <= MAX_YAML_INTEGER else Ambiguous(text, "a rounded number")
        if _FLOAT.fullmatch(text) and abs(number_ := float(text)) != float("inf"):
            return number_
    elif text.isdigit():
        return Ambiguous(text, "a rounded number")
    for pattern, reading in _DIFFERENT:
        if pattern.fullmatch(text):
            return Ambiguous(text, reading)
    return text
