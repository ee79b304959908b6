"""The parser's events with their places, for a text that the strict parser has accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import yaml

try:
    from yaml.cyaml import CParser as _Parser  # type: ignore[attr-defined]
except ImportError:  # PyYAML was built without libyaml
    from yaml import Loader as _Parser  # type: ignore[assignment]


class EventKind(Enum):
    DOCUMENT = auto()
    DOCUMENT_END = auto()
    MAPPING = auto()
    SEQUENCE = auto()
    END = auto()
    SCALAR = auto()


_KINDS = {
    yaml.DocumentStartEvent: EventKind.DOCUMENT,
    yaml.DocumentEndEvent: EventKind.DOCUMENT_END,
    yaml.MappingStartEvent: EventKind.MAPPING,
    yaml.SequenceStartEvent: EventKind.SEQUENCE,
    yaml.MappingEndEvent: EventKind.END,
    yaml.SequenceEndEvent: EventKind.END,
    yaml.ScalarEvent: EventKind.SCALAR,
}


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """An event from `start` to `end` (indexes of characters). `column` is that of the start, from 0.

    `style` is that of a scalar: ``""``, a quote, ``|`` or ``>``. `flow`: a collection in brackets. `explicit`: a
    document that begins with ``---`` or ends with ``...``.
    """

    kind: EventKind
    start: int
    end: int
    line: int
    column: int
    value: str = ""
    style: str = ""
    flow: bool = False
    explicit: bool = False


def placed_events(text: str) -> Iterator[PlacedEvent]:
    parser = _Parser(text)
    try:
        while (found := parser.get_event()) is not None:
            event: Any = found  # its type stubs leave the marks optional; its parsers always set them
            kind = _KINDS.get(type(found))
            if kind is not None:
                yield PlacedEvent(
                    kind,
                    event.start_mark.index,
                    event.end_mark.index,
                    event.start_mark.line,
                    event.start_mark.column,
                    value=getattr(event, "value", ""),
                    style=getattr(event, "style", None) or "",
                    flow=bool(getattr(event, "flow_style", False)),
                    explicit=bool(getattr(event, "explicit", False)),
                )
    finally:
        parser.dispose()
