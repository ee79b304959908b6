"""Finds where JSON values end that follow each other without line ends, without decoding them."""

from __future__ import annotations

import re
from typing import Final

import msgspec

# A string, which may lack its end, or a bracket.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[{}\[\]]', re.DOTALL)
_BETWEEN: Final = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")


def value_ends(data: bytes, limit: int) -> list[int]:
    """Returns the ends of the objects and lists at the beginning of `data` that are complete, at most `limit`.

    The bytes between the brackets are not checked. White space and byte order marks may precede a value.
    """
    ends: list[int] = []
    depth = 0
    at = _value_start(data, 0)
    while at is not None and len(ends) < limit:
        for token in _TOKEN.finditer(data, at):
            first = data[token.start()]
            if first in b"{[":
                depth += 1
            elif first in b"}]":
                depth -= 1
                if depth == 0:
                    ends.append(token.end())
                    at = _value_start(data, token.end())
                    break
        else:
            break
    return ends


def _value_start(data: bytes, at: int) -> int | None:
    """Returns where the next object or list begins, or None if other bytes or none follow."""
    between = _BETWEEN.match(data, at)
    assert between is not None
    return between.end() if data[between.end() : between.end() + 1] in (b"{", b"[") else None


def split_values(data: bytes, limit: int) -> list[bytes]:
    """Returns the objects and lists of a line that holds several of them, and the rest behind them if there is one.

    Returns nothing for any other line.
    """
    ends = value_ends(data, limit)
    if not ends or _value_start(data, ends[0]) is None:
        return []
    parts = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    rest = data[ends[-1] :]
    parts = [part.lstrip(b" \t\r\n\xef\xbb\xbf") for part in parts]
    return [*parts, rest] if rest.strip() else parts


def is_json(part: bytes) -> bool:
    """Returns whether the bytes are one JSON value."""
    try:
        msgspec.json.decode(part)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
