"""What the user tells about lines beside their format: where a field stands (``--map``), and whose time it is.

An event's own values win: its custom arguments, tags or metadata under the names of CARRIED. Then comes ``--map``,
then what stands near it in the provider's own event (its message id for the message execution), then the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final

import msgspec

from hookline.relay.event import Event

FieldPath = tuple[str, ...]
RECIPIENT: Final = "recipient"
# Beyond, a number is no field's value, and Python refuses to write out the longest. Ids of 64 bits are common, and
# somebody may write a UUID as its number.
MAX_MAPPED_INTEGER: Final = 2**128

# The field of `--map` → the field of Event, and the payload's name for it. The recipient is not a field of Event but
# makes its identity map.
_FIELDS: Mapping[str, tuple[str, str | None]] = {
    "organization": ("organization", "imsOrg"),
    "sandbox": ("sandbox_name", "sandboxName"),
    "sandboxId": ("sandbox_id", "sandboxId"),
    "campaign": ("campaign_id", "campaignID"),
    "campaignVersion": ("campaign_version_id", "campaignVersionID"),
    "campaignType": ("campaign_type", "campaignType"),
    "requestId": ("request_id", "requestId"),
    "messageExecution": ("execution_id", "messageExecutionID"),
    "messageType": ("message_type", "messageType"),
    RECIPIENT: (RECIPIENT, None),
}
FIELDS: Final = tuple(_FIELDS)


def _spellings(name: str) -> Iterable[str]:
    """``messageExecutionID``, and its spellings where capitals are not kept, or words are joined by a character."""
    camel = name.replace("ID", "Id")
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel)
    return name, camel, name.lower(), snake, snake.replace("_", "-")


# Every name under which an event may carry a field → the field of Event. Only the payload's names: what others call
# a campaign or an organization is often something else, and is named with `--map`.
FIELD_NAMES: Mapping[str, str] = {
    spelling: field for field, name in _FIELDS.values() if name is not None for spelling in _spellings(name)
}
_MAPPED: Mapping[str, str] = {**FIELD_NAMES, **{name: field for name, (field, _) in _FIELDS.items()}}


class FieldMapping(msgspec.Struct, frozen=True, kw_only=True):
    """`paths`: a field of Event, or RECIPIENT, and where its value stands; asked in this order.

    `timezone` is of syslog times that name none, `clock` (Unix seconds) tells the year of those that name none.
    `around` is what the event was unwrapped from: a path that leads nowhere in the event is tried there.
    """

    paths: tuple[tuple[str, FieldPath], ...] = ()
    timezone: tzinfo = UTC
    clock: Callable[[], float] | None = None
    around: tuple[object, ...] = ()

    def within(self, envelope: object) -> FieldMapping:
        """The same for what `envelope` holds."""
        return msgspec.structs.replace(self, around=(envelope, *self.around)) if self.paths else self

    def found(self, source: object) -> dict[str, str]:
        """What the paths lead to in `source`, else around it: text, by field. A number counts as its digits."""
        values: dict[str, str] = {}
        for field, path in self.paths:
            for place in (source, *self.around):
                if field not in values and (value := plain_text(_at(place, path))):
                    values[field] = value
        return values

    def completed(self, event: Event, source: object) -> Event:
        """The event with what it does not say itself. For the platform's own forms, whose recipient is theirs."""
        absent = {
            field: value
            for field, value in self.found(source).items()
            if field != RECIPIENT and not getattr(event, field)
        }
        return msgspec.structs.replace(event, **absent) if absent else event


NO_MAPPING: Final = FieldMapping()


def fields_in_variables(variables: object) -> dict[str, str]:
    """What custom arguments, tags or metadata say of an event, by field of Event. The first of several names wins."""
    values: dict[str, str] = {}
    if isinstance(variables, dict):
        for key, value in variables.items():
            field = FIELD_NAMES.get(key)
            if field is not None and field not in values and (text := plain_text(value)):
                values[field] = text
    return values


def plain_text(value: object) -> str | None:
    """Text or a whole number as text, also as the first of a list; None for anything else, and for nothing."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < MAX_MAPPED_INTEGER else None
    return value or None if isinstance(value, str) else None


def parse_mapping(text: str) -> tuple[str, FieldPath]:
    """Read ``FIELD=PATH`` into a field of Event and a path. Raises ValueError with what is wrong.

    FIELD is one of FIELDS, or the payload's name for it (``campaignID``). PATH is dotted (``mail.tags.campaign``,
    ``items.0.id``), or a JSON Pointer (RFC 6901) when it begins with a slash, for keys that have dots themselves.
    """
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ValueError(f"{text!r} is not of the form FIELD=PATH, such as campaign=user-variables.campaign")
    field = _MAPPED.get(name)
    if field is None:
        raise ValueError(f"{name!r} is not a field; there are: {', '.join(FIELDS)}")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the path of {name} is not valid UTF-8") from error
    return field, _parts(path)


def _parts(path: str) -> FieldPath:
    if path.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    return tuple(path.split("."))


def _at(node: Any, path: FieldPath) -> Any:
    for part in path:
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and part.isdecimal() and len(part) < 10 and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node
