"""A preview of a line: how the relay reads it, and which fields it lacks. Needs no state and delivers nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hookline.relay.delivery_record import Delivery, Line, Rejected, Skipped
from hookline.relay.event import Event, primary_identity
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.line_reader import read_with_format
from hookline.relay.formats.mail_log import UNREAD_OUTCOME
from hookline.relay.formats.registry import FORMATS
from hookline.relay.routing import Defaults, address_parts
from hookline.relay.webhook_route import refuse_for_all

# The fields that routing needs, and the options that supply them.
SUPPLIED_BY: Mapping[str, str] = {
    "organization": "--organization, or --map organization=PATH",
    "sandbox": "--sandbox, or --map sandbox=PATH",
    "campaign": "--campaign, or --map campaign=PATH; without it, only `campaigns: all` webhooks receive the event",
}

_KNOWN = {name: {word.lower() for word in (*known.STATUSES, *known.OTHERS)} for name, known in FORMATS.items()}


class PreviewedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a line, or a line without events. `format` recognized it. `missing` are keys of SUPPLIED_BY."""

    line: int
    format: str | None
    parsed: ParsedEvent
    missing: tuple[str, ...] = ()

    @property
    def unknown_status(self) -> str | None:
        """The status, if the provider's documentation does not contain it, otherwise None."""
        skipped = self.parsed
        if not isinstance(skipped, Skipped) or skipped.reason != "status_not_relayed" or self.format is None:
            return None
        return skipped.name if skipped.name and skipped.name.lower() not in _KNOWN.get(self.format, ()) else None

    @property
    def is_recognized(self) -> bool:
        """Whether a format or a wrapper recognized it, and it is no result that was not understood."""
        return self.format is not None and self.parsed != UNREAD_OUTCOME

    @property
    def is_rejected(self) -> bool:
        """Whether the event becomes a dead letter with any applied webhooks."""
        return isinstance(self.parsed, Rejected) or bool({"organization", "sandbox"} & set(self.missing))


def preview_line(line: Line, format: str, defaults: Defaults) -> Iterator[PreviewedEvent]:
    """Yields every event of a line, with the defaults filled in."""
    for name, parsed in read_with_format(line, format, defaults.mapping):
        previewed, missing = _preview(parsed, defaults) if isinstance(parsed, Event) else (parsed, ())
        yield PreviewedEvent(line=line.number, format=name, parsed=previewed, missing=missing)


def _preview(event: Event, defaults: Defaults) -> tuple[ParsedEvent, tuple[str, ...]]:
    """Applies the checks that the relay makes before it searches for a webhook. No webhook claims the id of a sandbox
    here, so a sandbox name from the command line also applies to an event with a sandbox id.
    """
    parts = address_parts(event, defaults)
    if refusal := _refuse(event):
        return refusal, parts.missing_parts
    full = msgspec.structs.replace(
        event,
        organization=parts.organization or None,
        sandbox_name=parts.sandbox or None,
        campaign_id=event.campaign_id or defaults.campaign,
    )
    return full, parts.missing_parts if full.campaign_id else (*parts.missing_parts, "campaign")


def _refuse(event: Event) -> Skipped | Rejected | None:
    found = refuse_for_all(event)
    if isinstance(found, Skipped) and found.reason == "channel_not_relayed":
        return Skipped(found.reason, event.channel)
    if found is None and event.journey_version_id:
        return Skipped("journey")
    return found


def preview_document(preview: PreviewedEvent) -> dict[str, Any]:
    """Returns the JSON form: how the event was read, and the fields of its payload."""
    document: dict[str, Any] = {"line": preview.line, "format": preview.format}
    missing = {"missing": list(preview.missing)} if preview.missing else {}
    match preview.parsed:
        case Rejected(reason):
            return {**document, "rejected": reason, **missing}
        case Skipped(reason, name):
            skipped = {"skipped": reason, "name": name, "unknown": preview.unknown_status is not None}
            return {**document, **skipped, **missing}
        case Delivery() as delivery:
            return {
                **document,
                "status": delivery.status,
                "channel": delivery.channel,
                "webhook": str(delivery.address),
                "requestId": delivery.request_id,
                "id": delivery.id.hex(),
            }
        case Event() as event:
            return {
                **document,
                "status": event.status,
                "channel": event.channel,
                "recipient": primary_identity(event.identity_map),
                "organization": event.organization,
                "sandbox": event.sandbox_name or event.sandbox_id,
                "campaign": event.campaign_id,
                "requestId": event.request_id,
                "messageExecution": event.execution_id,
                "time": event.time,
                "failure": msgspec.to_builtins(event.failure),
                "detail": event.detail,
                "identity": event.identity,
                "missing": list(preview.missing),
            }
