"""From a line to what it says: decoded once, then handed to the format that recognizes it."""

from __future__ import annotations

import re

import msgspec

from hookline.relay.fates import Line, Rejected, Skipped
from hookline.relay.formats import FORMATS, QUICK, dead
from hookline.relay.formats.envelope import is_letter
from hookline.relay.formats.port import Reading, Text
from hookline.relay.sources.lines import LONGEST

AUTO = "auto"
DEEPEST = 100

_NO_EVENT = Skipped("not_an_event")
_TOO_DEEP = Rejected(f"nested deeper than {DEEPEST} levels")
_QUICK = {AUTO: tuple(QUICK.values())} | {name: (quick,) for name, quick in QUICK.items()}
_decoder = msgspec.json.Decoder()


def read_line(line: Line, format: str = AUTO) -> list[Reading]:
    """Everything that the line says: at least one reading, and never an exception, whatever its bytes are.

    A line without an event counts as one Skipped. With ``auto``, JSON that no format recognizes is not an event;
    when a format is named (a key of FORMATS), a line that lacks what it needs is Rejected.
    """
    if line.sha256 is not None:
        return [Rejected(f"too long: {line.length} bytes, the limit is {LONGEST}")]
    if not line.data or line.data.isspace():
        return [_NO_EVENT]
    for quick in _QUICK.get(format, ()):
        if event := quick(line.data):
            return [event]
    value = _decoded(line.data)
    if isinstance(value, Rejected):
        return [value]
    if format in (AUTO, dead.NAME) and (within := dead.line_within(value)):
        return [_read_within(*within)]
    if format != AUTO:
        return FORMATS[format].events(value)
    for known in FORMATS.values():
        if known.recognizes(value):
            return known.events(value)
    return [Rejected(value.fault) if isinstance(value, Text) else _NO_EVENT]


def _read_within(line: Line, part: int) -> Reading:
    """The event number `part` of a line that was rejected once; each line is longer than what it holds."""
    found = read_line(line)
    return found[part] if part < len(found) else Rejected("the line holds fewer events than before")


def _decoded(data: bytes) -> object:
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
