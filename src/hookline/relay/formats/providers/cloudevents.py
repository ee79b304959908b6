"""CloudEvents in JSON form: unwrapped, then read by the format that recognizes their data.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.format import ParsedEvent, within_limits
from hookline.relay.formats.json_decoding import decoded
from hookline.relay.formats.provider_event import each, first
from hookline.relay.formats.provider_formats import PROVIDER_FORMATS
from hookline.relay.formats.typed_fields import shaped

NAME = "cloudevents"

STATUSES: Mapping[str, str] = {}  # those of the inner format
OTHERS = tuple(word for known in PROVIDER_FORMATS.values() for word in known.OTHERS)

_NO_EVENT = Skipped("not_an_event")


class _Envelope(msgspec.Struct, frozen=True):
    specversion: str
    id: str | None = None
    source: str | None = None
    time: str | None = None
    data: Any = None
    data_base64: str | None = None


def recognizes(value: object) -> bool:
    event = first(value)
    return event is not None and "specversion" in event and ("type" in event or "source" in event)


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return (reading for one in each(value) for reading in _events(one, hints))


def _events(value: Any, hints: FieldMapping) -> list[ParsedEvent]:
    read = shaped(value, _Envelope)
    if isinstance(read, Rejected):
        return [read]
    data = _data(read)
    if isinstance(data, Rejected):
        return [data]
    for known in PROVIDER_FORMATS.values():
        if known.recognizes(data):
            said = within_limits(known.events(data, hints.within(value)))
            return [_completed(one, read, number, len(said)) for number, one in enumerate(said)]
    return [_NO_EVENT]


def _data(read: _Envelope) -> object:
    """Returns the data. Ignores the media type, because some senders give a wrong one."""
    if read.data_base64 is not None:
        try:
            return decoded(base64.b64decode(read.data_base64, validate=True))
        except (ValueError, binascii.Error):
            return Rejected("data_base64: not base64")
    if isinstance(read.data, str):
        return decoded(read.data.encode())
    return Rejected("data: missing") if read.data is None else read.data


def _completed(reading: ParsedEvent, read: _Envelope, number: int, of: int) -> ParsedEvent:
    """Adds the envelope's time and identity if the event has none. `source` and `id` together are unique."""
    if not isinstance(reading, Event):
        return reading
    identity = reading.identity
    if identity is None and read.id and read.source:
        identity = f"cloudevents:{read.source}:{read.id}" + (f":{number}" if of > 1 else "")
    return msgspec.structs.replace(reading, identity=identity, time=reading.time or read.time)
