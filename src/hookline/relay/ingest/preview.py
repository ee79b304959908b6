"""How a line would be read, and what it lacks: without any state, and without its events going anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Delivery, Line, Rejected, Skipped
from hookline.relay.event import Event, primary_identity
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.line_reader import read_with_format
from hookline.relay.formats.registry import FORMATS
from hookline.relay.routing import Defaults, address_parts, refuse_for_all

# What routing needs, and which options supply it.
SUPPLIED_BY: Mapping[str, str] = {
    "organization": "--organization, or --map organization=PATH",
    "sandbox": "--sandbox, or --map sandbox=PATH",
    "campaign": "--campaign, or --map campaign=PATH; only webhooks with `campaigns: all` take the event without",
}


_KNOWN = {name: {word.lower() for word in known.OTHERS} for name, known in FORMATS.items()}


class PreviewedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a line, or the line where it holds none. `format` is None where no format recognized it.

    `missing` are keys of SUPPLIED_BY.
    """

    line: int
    format: str | None
    reading: ParsedEvent
    missing: tuple[str, ...] = ()

    @property
    def unknown(self) -> str | None:
        """The status, where it is a word that not even the sender's documentation knows: a novelty."""
        skipped = self.reading
        if not isinstance(skipped, Skipped) or skipped.reason != "status_not_relayed" or self.format is None:
            return None
        return skipped.name if skipped.name and skipped.name.lower() not in _KNOWN[self.format] else None

    @property
    def refused(self) -> bool:
        """Whether it would become a dead letter whatever webhooks are applied."""
        return isinstance(self.reading, Rejected) or bool({"organization", "sandbox"} & set(self.missing))


def preview_line(line: Line, format: str, defaults: Defaults) -> Iterator[PreviewedEvent]:
    """Every event of a line, with the defaults filled in."""
    name, readings = read_with_format(line, format, defaults.mapping)
    for reading in readings:
        if not isinstance(reading, Event):
            yield PreviewedEvent(line=line.number, format=name, reading=reading)
        else:
            yield _tried_event(line, name, reading, defaults)


def _tried_event(line: Line, format: str | None, event: Event, defaults: Defaults) -> PreviewedEvent:
    """By what the relay asks before it looks at a webhook. As no webhook claims the id of a sandbox here, the name
    from the command line counts beside an id."""
    place = address_parts(event, defaults)
    if skipped := _for_nobody(event):
        return PreviewedEvent(line=line.number, format=format, reading=skipped, missing=place.missing_parts)
    full = msgspec.structs.replace(
        event,
        organization=place.organization or None,
        sandbox_name=place.sandbox or None,
        campaign_id=event.campaign_id or defaults.campaign,
    )
    missing = place.missing_parts if full.campaign_id else (*place.missing_parts, "campaign")
    return PreviewedEvent(line=line.number, format=format, reading=full, missing=missing)


def _for_nobody(event: Event) -> Skipped | Rejected | None:
    found = refuse_for_all(event)
    if isinstance(found, Skipped) and found.reason == "channel_not_relayed":
        return Skipped(found.reason, event.channel)
    if found is None and event.journey_version_id:
        return Skipped("journey")
    return found


def preview_document(one: PreviewedEvent) -> dict[str, Any]:
    """For programs: how it was read, and as what. Of an event, what the payload is made of."""
    told: dict[str, Any] = {"line": one.line, "format": one.format}
    lacks = {"missing": list(one.missing)} if one.missing else {}
    match one.reading:
        case Rejected(reason):
            return {**told, "rejected": reason, **lacks}
        case Skipped(reason, name):
            return {**told, "skipped": reason, "name": name, "unknown": one.unknown is not None, **lacks}
        case Delivery() as letter:
            return {
                **told,
                "status": letter.status,
                "channel": letter.channel,
                "webhook": str(letter.address),
                "requestId": letter.request_id,
                "id": letter.id.hex(),
            }
        case Event() as event:
            return {
                **told,
                "status": event.status,
                "channel": event.channel,
                "recipient": primary_identity(event),
                "organization": event.organization,
                "sandbox": event.sandbox_name or event.sandbox_id,
                "campaign": event.campaign_id,
                "requestId": event.request_id,
                "messageExecution": event.execution_id,
                "time": event.time,
                "failure": msgspec.to_builtins(event.failure),
                "detail": event.detail,
                "identity": event.identity,
                "missing": list(one.missing),
            }
