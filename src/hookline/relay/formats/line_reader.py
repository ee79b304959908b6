"""Reads a line: decodes it once, unwraps it, and passes each of its items to the format that recognizes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from hookline.relay.delivery_record import WHOLE_LINE, Line, Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import NO_MAPPING, FieldMapping
from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.format import MAX_EVENTS_PER_LINE, LineText, ParsedEvent, within_limits
from hookline.relay.formats.json_decoding import LARGE_NUMBER_FAULTS, decode_json, without_large_numbers
from hookline.relay.formats.providers import payload, postfix, twilio
from hookline.relay.formats.recognition import (
    NO_EVENT,
    Reading,
    flat,
    format_of_all,
    read_items,
    read_unknown,
    recognized_by,
)
from hookline.relay.formats.registry import AUTO_FORMATS, FORMATS, QUICK
from hookline.relay.formats.wrappers import Wrapped, read_rest, unwrap, with_time
from hookline.relay.payload_line import PayloadLine
from hookline.relay.sources.json_values import split_values
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES

AUTO: Final = "auto"
MAX_WRAPPERS: Final = 4  # a container's log in a journal has two

FEWER_EVENTS: Final = Rejected("the line contains fewer events than before")
# Their items are never wrapped. Postfix also recognizes entries of a journal.
_JSON_FORMATS = {name: known for name, known in AUTO_FORMATS.items() if known is not postfix}
# The formats of lines that are not JSON. No other format recognizes a LineText.
TEXT_FORMATS: Final = {known.NAME: known for known in (AUTO_FORMATS[postfix.NAME], AUTO_FORMATS[twilio.NAME])}
# The beginning of a mail server's line is a line of a known program without an event.
_PERHAPS_INCOMPLETE = {"unknown_format", "unread_outcome", NO_EVENT.reason}
_TOO_WRAPPED = Rejected(f"more than {MAX_WRAPPERS} wrappers around one line")
_QUICK = {AUTO: tuple(QUICK.items())} | {name: ((name, quick),) for name, quick in QUICK.items()}


def read_line(line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING) -> list[ParsedEvent]:
    """Returns the events of the line, at least one item. Never raises, for any bytes.

    A line without an event is one Skipped, a line with too many (`within_limits`) one Rejected. JSON of no known
    format is Skipped with ``auto``, and Rejected with a named format (a key of FORMATS).
    """
    found = read_quickly(line, format, mapping)
    return read_carefully(line, format, mapping) if found is None else [event_of(found)]


def read_quickly(line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING) -> Event | PayloadLine | None:
    """Returns the event of a line in the most frequent form of its format, or None: `read_carefully` reads it."""
    if line.sha256 is None and not mapping.paths:
        for _, quick in _QUICK.get(format, ()):
            if found := quick(line.data):
                return found
    return None


def event_of(found: Event | PayloadLine) -> Event:
    """Returns the event that a quick reader has found."""
    return payload.to_event(found) if isinstance(found, PayloadLine) else found


def read_carefully(line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING) -> list[ParsedEvent]:
    """Returns the result of `read_line`, also for a line that a quick reader reads."""
    readings = _read_whole(line, format, mapping)
    if isinstance(readings, list) and len(readings) == 1:
        return within_limits(readings[0][1])
    return within_limits(event for _, events in readings for event in events)


def is_readable(data: bytes, format: str = AUTO, mapping: FieldMapping = NO_MAPPING) -> bool:
    """Returns whether the text has an event, so that it is a whole line and not the beginning of one."""
    return not any(
        isinstance(one, Rejected) or (isinstance(one, Skipped) and one.reason in _PERHAPS_INCOMPLETE)
        for one in read_line(Line(1, data, len(data)), format, mapping)
    )


def read_with_format(
    line: Line, format: str = AUTO, mapping: FieldMapping = NO_MAPPING
) -> list[tuple[str | None, ParsedEvent]]:
    """Returns the result of `read_line`, each event with the format or wrapper that recognized it, or with None."""
    names: list[str | None] = []

    def events() -> Iterator[ParsedEvent]:
        for name, found in _read_whole(line, format, mapping):
            for event in found:
                names.append(name)
                yield event

    return list(zip(names, within_limits(events()), strict=False))  # one Rejected if there are too many


def _read_whole(line: Line, format: str, mapping: FieldMapping) -> Iterable[Reading]:
    if line.sha256 is not None:
        return [(None, [Rejected(f"too long: {line.length} bytes, the limit is {MAX_LINE_BYTES}")])]
    return _read_bytes(line.data, format, mapping, MAX_WRAPPERS)


def _read_bytes(data: bytes, format: str, mapping: FieldMapping, wrappers: int) -> Iterable[Reading]:
    if not data or data.isspace():
        return [(None, [NO_EVENT])]
    value = decode_json(data)
    if isinstance(value, dict) and format != dead_letter_format.NAME:  # most lines
        return _read_item(value, format, mapping, wrappers)
    if isinstance(value, Rejected):
        return [(None, [value])]
    if isinstance(value, LineText) and value.fault in LARGE_NUMBER_FAULTS:
        return [_read_large_numbers(data, value.fault, format, mapping)]
    # Most lines of text begin with a letter or digit, so they are not searched for values.
    if (
        isinstance(value, LineText)
        and not data[:1].isalnum()
        and (values := split_values(data, MAX_EVENTS_PER_LINE + 1))
    ):
        # None of them is several values, so this ends.
        return (reading for one in values for reading in _read_bytes(one, format, mapping, wrappers))
    if format == dead_letter_format.NAME:
        within = dead_letter_format.line_within(value)
        return [(format, _read_within(*within, mapping) if within else dead_letter_format.events(value, mapping))]
    if isinstance(value, list) and value:
        value = value[: MAX_EVENTS_PER_LINE + 1]  # each has at least one event
        if format == AUTO and (known := format_of_all(_JSON_FORMATS, value)):
            return [(known.NAME, (event for item in value for event in known.events(item, mapping)))]
        return _read_list(list(islice(flat(value), MAX_EVENTS_PER_LINE + 1)), format, mapping, wrappers)
    return _read_item(value, format, mapping, wrappers)


def _read_list(items: list[object], format: str, mapping: FieldMapping, wrappers: int) -> Iterator[Reading]:
    if format != AUTO:
        for item in items:
            yield from _read_item(item, format, mapping, wrappers)
        return
    for item, reading in zip(items, read_items(AUTO_FORMATS, items, mapping), strict=True):
        if wrapped := unwrap(item):
            yield from _read_wrapped(wrapped, format, mapping, wrappers)
        else:
            yield reading


def _read_large_numbers(data: bytes, fault: str, format: str, mapping: FieldMapping) -> Reading:
    """Reads a line with a number that no program can hold, as the quick readers do: if the event does not use it."""
    value = without_large_numbers(data)
    for name, _ in _QUICK.get(format, ()):
        if isinstance(value, dict) and FORMATS[name].recognizes(value):
            events = list(FORMATS[name].events(value, mapping))
            if not any(isinstance(event, Rejected) for event in events):
                return name, events
    return None, [Rejected(fault)]


def _read_item(item: object, format: str, mapping: FieldMapping, wrappers: int) -> Iterable[Reading]:
    wrapped, formats = unwrap(item), AUTO_FORMATS
    if isinstance(item, LineText):
        wrapped, formats = wrapped or postfix.unwrap_syslog(item, mapping), TEXT_FORMATS
    if wrapped is not None:
        return _read_wrapped(wrapped, format, mapping, wrappers)
    known = FORMATS[format] if format != AUTO else recognized_by(formats, item)
    return [(None, [read_unknown(item)])] if known is None else [(known.NAME, known.events(item, mapping))]


def _read_wrapped(wrapped: Wrapped, format: str, mapping: FieldMapping, wrappers: int) -> Iterator[Reading]:
    """Reads the text in a wrapper like a line. A text of no format is a line of a program, and contains no event."""
    if not wrappers:
        yield wrapped.name, [_TOO_WRAPPED]
        return
    data = wrapped.text.encode()
    if not mapping.paths:
        for name, quick in _QUICK.get(format, ()):
            if found := quick(data):
                yield name, [with_time(event_of(found), wrapped)]
                return
    if rest := read_rest(wrapped, TEXT_FORMATS):
        yield wrapped.name, [rest]
    else:
        for format_name, events in _read_bytes(data, format, mapping.within(wrapped.envelope), wrappers - 1):
            yield format_name or wrapped.name, (_in_wrapper(event, wrapped) for event in events)


def _in_wrapper(event: ParsedEvent, wrapped: Wrapped) -> ParsedEvent:
    if isinstance(event, Skipped) and event.reason == "unknown_format":
        return Skipped(NO_EVENT.reason, event.name)
    return with_time(event, wrapped)


def _read_within(line: Line, part: int, mapping: FieldMapping) -> list[ParsedEvent]:
    """Reads a line that was rejected before, or its event number `part`. An inner line is shorter, so this ends."""
    found = read_line(line, AUTO, mapping)
    return found if part == WHOLE_LINE else [found[part] if part < len(found) else FEWER_EVENTS]
