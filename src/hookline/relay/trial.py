"""How a line would be read, and what it lacks: without any state, and without its events going anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hookline.relay.fates import Delivery, Line, Rejected, Skipped
from hookline.relay.feedback import Event, primary_identity
from hookline.relay.formats import FORMATS
from hookline.relay.formats.port import Reading
from hookline.relay.formats.reading import recognized
from hookline.relay.routing import RELAYED_CHANNELS, RELAYED_STATUSES, Defaults

# What routing needs, and which options supply it.
SUPPLIED_BY: Mapping[str, str] = {
    "organization": "--organization, or --map organization=PATH",
    "sandbox": "--sandbox, or --map sandbox=PATH",
    "campaign": "--campaign, or --map campaign=PATH; only webhooks with `campaigns: all` take the event without",
}


_KNOWN = {name: {word.lower() for word in known.OTHERS} for name, known in FORMATS.items()}


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a line, or the line where it holds none. `format` is None where no format recognized it.

    `missing` are keys of SUPPLIED_BY.
    """

    line: int
    format: str | None
    reading: Reading
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


def tried(line: Line, format: str, defaults: Defaults) -> Iterator[Tried]:
    """Every event of a line, with the defaults filled in."""
    name, readings = recognized(line, format, defaults.hints)
    for reading in readings:
        if not isinstance(reading, Event):
            yield Tried(line=line.number, format=name, reading=reading)
        elif skipped := _for_nobody(reading):
            yield Tried(line=line.number, format=name, reading=skipped)
        else:
            full = _filled(reading, defaults)
            yield Tried(line=line.number, format=name, reading=full, missing=tuple(_missing(full)))


def _for_nobody(event: Event) -> Skipped | Rejected | None:
    """What no webhook of whatever address would get."""
    if not event.status:
        return Rejected("no feedback status: the event does not say what became of the message")
    if event.status not in RELAYED_STATUSES:
        return Skipped("status_not_relayed", event.status)
    if event.channel not in RELAYED_CHANNELS:
        return Skipped("channel_not_relayed", event.channel)
    return Skipped("journey") if event.journey_version_id else None


def _filled(event: Event, defaults: Defaults) -> Event:
    return msgspec.structs.replace(
        event,
        organization=event.organization or defaults.organization,
        sandbox_name=event.sandbox_name or (None if event.sandbox_id else defaults.sandbox),
        campaign_id=event.campaign_id or defaults.campaign,
    )


def _missing(event: Event) -> Iterator[str]:
    if not event.organization:
        yield "organization"
    if not (event.sandbox_name or event.sandbox_id):
        yield "sandbox"
    if not event.campaign_id:
        yield "campaign"


def as_json(one: Tried) -> dict[str, Any]:
    """For programs: how it was read, and as what. Of an event, what the payload is made of."""
    told: dict[str, Any] = {"line": one.line, "format": one.format}
    match one.reading:
        case Rejected(reason):
            return {**told, "rejected": reason}
        case Skipped(reason, name):
            return {**told, "skipped": reason, "name": name, "unknown": one.unknown is not None}
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
