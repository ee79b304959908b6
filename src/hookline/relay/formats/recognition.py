"""Recognizes the format of one item: a line, an item of its list, or the content of an envelope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.dead_letter_json import is_dead_letter
from hookline.relay.formats.format import MAX_EVENTS_PER_LINE, Format, LineText, ParsedEvent
from hookline.relay.formats.mail_log import looks_like_outcome

NO_EVENT: Final = Skipped("not_an_event")

# The name of a format or wrapper (None if none recognizes the item), and the events that it reads.
Reading = tuple[str | None, Iterable[ParsedEvent]]

# The fields in which providers name the kind of an event, in the order in which they are searched.
_NAMES = ("event", "eventType", "event_type", "EventType", "type", "detail-type", "RecordType", "kind", "status")
_DEAD_LETTER = Rejected("a dead letter of hookline: `hookline dead import` and --format dead-letter read it")


def recognized_by(formats: Mapping[str, Format], item: object) -> Format | None:
    for known in formats.values():
        if known.recognizes(item):
            return known
    return None


def format_of_all(formats: Mapping[str, Format], items: Sequence[object]) -> Format | None:
    """Returns the format that recognizes every item, if there is one. Most lists have one."""
    known = recognized_by(formats, items[0])
    return known if known is not None and all(map(known.recognizes, items)) else None


def read_items(formats: Mapping[str, Format], items: Sequence[object], mapping: FieldMapping) -> Iterator[Reading]:
    """Reads the items of a list, each by the format that recognizes it.

    If all others have one format, an item of no format is first read as that one: a provider's list also contains
    events about an account, and events that lack a field.
    """
    recognized = [recognized_by(formats, item) for item in items]
    names = {known.NAME for known in recognized if known is not None}
    neighbour = formats[names.pop()] if len(names) == 1 else None
    for item, known in zip(items, recognized, strict=True):
        if known is not None:
            yield known.NAME, known.events(item, mapping)
        else:
            yield (neighbour and _read_as(neighbour, item, mapping)) or (None, [read_unknown(item)])


def _read_as(known: Format, item: object, mapping: FieldMapping) -> Reading | None:
    """Returns the item's events, or None if it has the name of another kind of event and is not valid."""
    if is_dead_letter(item):
        return None
    events = list(islice(known.events(item, mapping), MAX_EVENTS_PER_LINE + 1))
    kind = kind_of(item)
    is_foreign = kind is not None and {kind, kind.lower()}.isdisjoint(known.STATUSES)
    return None if is_foreign and any(isinstance(one, Rejected) for one in events) else (known.NAME, events)


def read_unknown(item: object) -> Skipped | Rejected:
    """Returns the result for an item of no known format. JSON is counted by the name of its event.

    A dead letter has a webhook and an id of its own, so only an operator's command may read it, not every log.
    """
    if isinstance(item, LineText):
        return Rejected(describe_text(item))
    if is_dead_letter(item):
        return _DEAD_LETTER
    if item == []:
        return NO_EVENT
    return Skipped("unknown_format", kind_of(item) or _name_by_key(item))


def kind_of(item: object) -> str | None:
    """Returns the name that the item, or the first item of a list, gives to its kind of event, if any."""
    if isinstance(item, list) and item:
        item = item[0]
    if isinstance(item, dict):
        for key in _NAMES:
            if isinstance(name := item.get(key), str) and name:
                return name
    return None


def _name_by_key(item: object) -> str | None:
    """Returns a name for an object without one: its first key with a list of objects, or else its first key."""
    if not isinstance(item, dict) or not item:
        return None
    lists = (key for key, value in item.items() if isinstance(value, list) and value and isinstance(value[0], dict))
    return f"with {next(lists, None) or next(iter(item))}"


def flat(items: Sequence[object]) -> Iterator[object]:
    """Yields the items of a list. A list in it, such as a batch in a list of batches, gives its own items."""
    levels = [iter(items)]
    while levels:
        for item in levels[-1]:
            if isinstance(item, list) and item:
                levels.append(iter(item))
                break
            yield item
        else:
            levels.pop()


def describe_text(line: LineText) -> str:
    """Returns the reason why a text is not read."""
    text = line.text
    if looks_like_outcome(text):
        return "it looks like a result in the log of a mail server, but its time, host and program are not readable"
    if "&" in text and "Sid=" in text and not text.startswith(("{", "[", '"')):
        return "it looks form-encoded, but contains a blank or a quotation mark, which a form encodes"
    return line.fault
