"""The port of a format, which reads one provider's lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from hookline.relay.delivery_record import Delivery, Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.payload_line import PayloadLine


class LineText(msgspec.Struct, frozen=True):
    """A line that is not JSON. `fault` gives the reason, for formats that need JSON."""

    text: str
    fault: str


# One result of a line. A line about several messages or recipients has several. A Delivery was routed before and
# keeps its id and its route.
ParsedEvent = Event | Delivery | Skipped | Rejected


class Description(msgspec.Struct, frozen=True):
    """`lines` describes the content of a line, `mark` the fields by which ``auto`` recognizes it."""

    channels: str
    lines: str
    mark: str


class Format(Protocol):
    """A module of this package that has these six names and is an entry of FORMATS.

    Neither function raises for any line. STATUSES maps the provider's statuses that are delivered to the platform's.
    All others are skipped and counted by name. OTHERS are those of them that the provider documents.
    """

    NAME: str
    DESCRIPTION: Description
    STATUSES: Mapping[str, str]
    OTHERS: tuple[str, ...]

    def recognizes(self, value: object, /) -> bool:
        """Returns whether an item has this format, valid or not. With ``auto``, called for every format in turn.

        `value` is decoded JSON, or a LineText: a line, or an item of its list. Checks one or two keys. At most one
        format may return True for an item.
        """
        ...

    def events(self, value: object, mapping: FieldMapping, /) -> Iterable[ParsedEvent]:
        """Yields the events of the item, at least one. Called once per line, or once per item of its list.

        If the user named this format, items that it does not recognize are Rejected with the missing field. The paths
        of `mapping` supply absent fields. Many events are yielded one by one, because `within_limits` may stop.
        """
        ...


# Reads a line of a format's most frequent form directly from its bytes. Returns exactly the result of the format's
# `events` for a line that no other format recognizes, or None, and the caller decodes the line and asks the format.
# It first searches for a name that only lines of its format have. A payload stays as it is decoded:
# `payload.to_event` makes its event.
Quick = Callable[[bytes], Event | PayloadLine | None]


# The limits of one line. A short line can make many events: each recipient of a list makes one, with the shared
# fields repeated.
MAX_EVENTS_PER_LINE: Final = 10_000
MAX_EVENT_BYTES_PER_LINE: Final = 16 * 1024 * 1024

_TOO_MANY = Rejected(f"more than {MAX_EVENTS_PER_LINE:,} events in one line")
_TOO_LONG = Rejected(f"one line with events of more than {MAX_EVENT_BYTES_PER_LINE // 1024**2} MiB in all")
_encoder = msgspec.json.Encoder()


def within_limits(parsed: Iterable[ParsedEvent]) -> list[ParsedEvent]:
    """Returns all events, or one Rejected if they are too many or too long. Consumes no more than that."""
    if isinstance(parsed, list) and len(parsed) == 1:
        return parsed
    found: list[ParsedEvent] = []
    room = MAX_EVENT_BYTES_PER_LINE
    for one in parsed:
        if len(found) == MAX_EVENTS_PER_LINE:
            return [_TOO_MANY]
        if found:  # most lines contain one event, which is not longer than the line
            room -= len(_encoder.encode(one))
            if room < 0:
                return [_TOO_LONG]
        found.append(one)
    return found
