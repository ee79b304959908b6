"""From bytes to JSON, or to what is wrong with them. Also of JSON that a line holds as text."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hookline.relay.fates import Rejected
from hookline.relay.formats.envelope import is_letter
from hookline.relay.formats.port import Text

DEEPEST: Final = 100

_TOO_DEEP = Rejected(f"nested deeper than {DEEPEST} levels")
_decoder = msgspec.json.Decoder()


def decoded(data: bytes) -> object:
    """The line's JSON, a Text where it is none, or Rejected where it is not even text."""
    try:
        value = _decoder.decode(data)
    except RecursionError:
        return _TOO_DEEP
    except UnicodeDecodeError:
        return _as_text(data, "not UTF-8")
    except msgspec.DecodeError as error:
        return _as_text(data, _why_not_json(str(error)))
    # Only a line with that many brackets can be that deep; the count is much cheaper than the walk. A dead letter
    # holds its payload one level deeper than that was read.
    if data.count(b"{") + data.count(b"[") > DEEPEST and _is_deeper_than(DEEPEST + is_letter(value), value):
        return _TOO_DEEP
    return value


def _as_text(data: bytes, fault: str) -> Text | Rejected:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Rejected("not UTF-8: this looks like UTF-16; convert it first (iconv -f UTF-16 -t UTF-8)")
    try:
        return Text(data.decode(), fault)
    except UnicodeDecodeError as error:
        return Rejected(f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start + 1}")


def _why_not_json(error: str) -> str:
    """The decoder counts bytes from 0, people from 1; it is off by one after some faults, so this says "near"."""
    fault = error.removeprefix("JSON is malformed: ").split(" - at ")[0]
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
