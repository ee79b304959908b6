"""CloudEvents in JSON form: unwrapped, then read by the format that recognizes their data.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.format import MAX_EVENTS_PER_LINE, Description, LineText, ParsedEvent, within_limits
from hookline.relay.formats.json_decoding import decode_json
from hookline.relay.formats.provider_event import as_object
from hookline.relay.formats.provider_formats import PROVIDER_FORMATS
from hookline.relay.formats.recognition import flat, read_items, recognized_by
from hookline.relay.formats.typed_fields import to_struct

NAME = "cloudevents"
DESCRIPTION = Description(
    "as the inner format",
    "a CloudEvent whose data is an event of another format, or a list of CloudEvents",
    "`specversion` with `type` or `source`",
)

STATUSES: Mapping[str, str] = {}  # those of the inner format
OTHERS = tuple(word for known in PROVIDER_FORMATS.values() for word in known.OTHERS)


class _Envelope(msgspec.Struct, frozen=True):
    specversion: str
    type: str | None = None
    id: str | None = None
    source: str | None = None
    time: str | None = None
    data: Any = None
    data_base64: str | None = None


def recognizes(value: object) -> bool:
    event = as_object(value)
    return "specversion" in event and ("type" in event or "source" in event)


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return _events(value, mapping)


def _events(value: Any, mapping: FieldMapping) -> list[ParsedEvent]:
    envelope = to_struct(value, _Envelope)
    if isinstance(envelope, Rejected):
        return [envelope]
    data = _inner_data(envelope)
    if isinstance(data, Rejected):
        return [data]
    if isinstance(data, LineText) and recognized_by(PROVIDER_FORMATS, data) is None:
        is_json = data.text.lstrip().startswith(("{", "["))
        return [Rejected(f"data: {data.fault}") if is_json else Skipped("not_an_event", envelope.type)]
    within = mapping.within(value)
    items = list(islice(flat(data), MAX_EVENTS_PER_LINE + 1)) if isinstance(data, list) and data else [data]
    parsed = within_limits(event for _, events in read_items(PROVIDER_FORMATS, items, within) for event in events)
    return [_with_envelope(item, envelope, number, len(parsed)) for number, item in enumerate(parsed)]


def _inner_data(envelope: _Envelope) -> object:
    """Returns the data. Ignores the media type, because some senders give a wrong one."""
    if envelope.data_base64 is not None:
        try:
            return decode_json(base64.b64decode(envelope.data_base64, validate=True))
        except ValueError:  # binascii.Error
            return Rejected("data_base64: not base64")
    if isinstance(envelope.data, str):
        return decode_json(envelope.data.encode())
    return Rejected("data: missing") if envelope.data is None else envelope.data


def _with_envelope(parsed: ParsedEvent, envelope: _Envelope, number: int, of: int) -> ParsedEvent:
    """Adds the envelope's time and identity if the event has none. `source` and `id` together are unique."""
    if isinstance(parsed, Skipped) and parsed.reason == "unknown_format":
        return Skipped("not_an_event", envelope.type or parsed.name)
    if not isinstance(parsed, Event):
        return parsed
    identity = parsed.identity
    if identity is None and envelope.id and envelope.source:
        identity = f"cloudevents:{envelope.source}:{envelope.id}" + (f":{number}" if of > 1 else "")
    return msgspec.structs.replace(parsed, identity=identity, time=parsed.time or envelope.time)
