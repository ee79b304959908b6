"""Reads a line: decodes it once and passes it to the format that recognizes it."""

from __future__ import annotations

from typing import Final

from hookline.relay.delivery_record import WHOLE_LINE, Line, Rejected, Skipped
from hookline.relay.field_mapping import NO_MAPPING, FieldMapping
from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.format import LineText, ParsedEvent, within_limits
from hookline.relay.formats.json_decoding import decode_json
from hookline.relay.formats.registry import FORMATS, QUICK
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES

AUTO: Final = "auto"

FEWER_EVENTS: Final = Rejected("the line contains fewer events than before")
_NO_EVENT = Skipped("not_an_event")
_QUICK = {AUTO: tuple(QUICK.values())} | {name: (quick,) for name, quick in QUICK.items()}


def read_line(line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING) -> list[ParsedEvent]:
    """Returns the events of the line, at least one item. Never raises, for any bytes.

    A line without an event is one Skipped, a line with too many (`within_limits`) one Rejected. JSON of no known
    format is Skipped with ``auto``, and Rejected with a named format (a key of FORMATS).
    """
    if line.sha256 is None and not mapping.paths:
        for quick in _QUICK.get(format, ()):
            if event := quick(line.data):
                return [event]
    return read_with_format(line, format, mapping)[1]


def read_with_format(
    line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING
) -> tuple[str | None, list[ParsedEvent]]:
    """Returns the name of the format that read the line (None if none did) and the result of `read_line`."""
    if line.sha256 is not None:
        return None, [Rejected(f"too long: {line.length} bytes, the limit is {MAX_LINE_BYTES}")]
    if not line.data or line.data.isspace():
        return None, [_NO_EVENT]
    value = decode_json(line.data)
    if isinstance(value, Rejected):
        return None, [value]
    if format in (AUTO, dead_letter_format.NAME) and (within := dead_letter_format.line_within(value)):
        return dead_letter_format.NAME, _read_within(*within, mapping)
    recognized = (known for known in FORMATS.values() if known.recognizes(value))
    known = FORMATS[format] if format != AUTO else next(recognized, None)
    if known is None:
        return None, [Rejected(value.fault) if isinstance(value, LineText) else _NO_EVENT]
    return known.NAME, within_limits(known.events(value, mapping))


def _read_within(line: Line, part: int, mapping: FieldMapping) -> list[ParsedEvent]:
    """Reads a line that was rejected before, or its event number `part`. An inner line is shorter, so this ends."""
    found = read_line(line, AUTO, mapping)
    return found if part == WHOLE_LINE else [found[part] if part < len(found) else FEWER_EVENTS]
