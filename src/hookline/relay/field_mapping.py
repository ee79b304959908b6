"""The options for lines beside their format: paths to fields (``--map``), and the time zone of times without one.

An event's own values have priority: its custom arguments, tags or metadata under the names of FIELD_NAMES. Then come
``--map``, the provider's equivalent field (its message id for the message execution), and the defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final

import msgspec

from hookline.relay.event import Event

FieldPath = tuple[str, ...]
RECIPIENT: Final = "recipient"
# A larger number is not a field's value, and Python refuses to format very long ones. Ids of 64 bits are common, and
# a UUID can be written as a number.
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
    """Returns ``messageExecutionID`` and its other spellings: in lower case, or with a character between words."""
    camel = name.replace("ID", "Id")
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in camel)
    return name, camel, name.lower(), snake, snake.replace("_", "-")


# Each name of a field in an event → the field of Event. These are the payload's names only: other senders' campaigns
# and organizations are often something else, and need `--map`.
FIELD_NAMES: Mapping[str, str] = {
    spelling: field for field, name in _FIELDS.values() if name is not None for spelling in _spellings(name)
}
_MAPPED: Mapping[str, str] = {**FIELD_NAMES, **{name: field for name, (field, _) in _FIELDS.items()}}


class FieldMapping(msgspec.Struct, frozen=True, kw_only=True):
    """The paths of fields, and the options for times.

    Attributes:
        paths: a field of Event, or RECIPIENT, with the path of its value. The first path with a value applies.
        timezone: the zone of syslog times without one.
        clock: Unix seconds; determines the year of syslog times without one.
        envelopes: the objects that contain the event, the innermost first. A path without a value in the event is
            searched there.
    """

    paths: tuple[tuple[str, FieldPath], ...] = ()
    timezone: tzinfo = UTC
    clock: Callable[[], float] | None = None
    envelopes: tuple[object, ...] = ()

    def within(self, envelope: object) -> FieldMapping:
        return msgspec.structs.replace(self, envelopes=(envelope, *self.envelopes)) if self.paths else self

    def found(self, source: object) -> dict[str, str]:
        """Returns the values of the paths in `source`, otherwise in its envelopes, as text by field."""
        values: dict[str, str] = {}
        for field, path in self.paths:
            for container in (source, *self.envelopes):
                if field not in values and (value := plain_text(_at(container, path))):
                    values[field] = value
        return values

    def completed(self, event: Event, source: object) -> Event:
        """Returns the event with values for its absent fields, except the recipient. For the platform's formats."""
        found = self.found(source).items()
        absent = {field: value for field, value in found if field != RECIPIENT and not getattr(event, field)}
        return msgspec.structs.replace(event, **absent) if absent else event


NO_MAPPING: Final = FieldMapping()


def fields_in_variables(variables: object) -> dict[str, str]:
    """Returns the values in custom arguments, tags or metadata, by field of Event. The first name applies."""
    values: dict[str, str] = {}
    if isinstance(variables, dict):
        for key, value in variables.items():
            field = FIELD_NAMES.get(key)
            if field is not None and field not in values and (text := plain_text(value)):
                values[field] = text
    return values


def plain_text(value: object) -> str | None:
    """Returns a text or a whole number as text, also from the start of a list. Returns None for any other value."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < MAX_MAPPED_INTEGER else None
    return value or None if isinstance(value, str) else None


def parse_mapping(text: str) -> tuple[str, FieldPath]:
    """Parses ``FIELD=PATH`` into a field of Event and a path. Raises ValueError with the fault.

    FIELD is one of FIELDS, or the payload's name for it (``campaignID``). PATH is dotted (``mail.tags.campaign``,
    ``items.0.id``), or a JSON Pointer (RFC 6901) if it begins with a slash, for keys that contain dots.
    """
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise ValueError(f"{text!r} does not have the form FIELD=PATH, such as campaign=user-variables.campaign")
    field = _MAPPED.get(name)
    if field is None:
        raise ValueError(f"{name!r} is not a field; the fields are: {', '.join(FIELDS)}")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the path of {name} is not valid UTF-8") from error
    if path.startswith("/"):
        return field, tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
    return field, tuple(path.split("."))


def _at(node: Any, path: FieldPath) -> Any:
    for part in path:
        if isinstance(node, dict):
            node = node.get(part)
        elif isinstance(node, list) and part.isdecimal() and len(part) < 10 and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node
