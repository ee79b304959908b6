"""Twilio's status callbacks: form-encoded as posted, or as JSON, also with the spelling of Event Streams.

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status and
https://www.twilio.com/docs/events/event-types/messaging/outbound-message
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from hookline.model import Channel
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import ASYNC, HARD, SYNC
from hookline.relay.formats.format import LineText, ParsedEvent
from hookline.relay.formats.provider_event import first, provided, read_each, recipient_of, text
from hookline.units import utc_text

NAME = "twilio"

STATUSES: Mapping[str, str] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "bounce",
    "failed": "error",
    "canceled": "error",
}
OTHERS: tuple[str, ...] = ("accepted", "scheduled", "queued", "sending", "receiving", "received")
# Errors for numbers that Twilio's documentation calls unreachable: unknown, or a landline.
_PERMANENT = {"30005", "30006"}
_IDS = ("MessageSid", "messageSid", "SmsSid")
_MOST_FIELDS = 200


def recognizes(value: object) -> bool:
    if isinstance(value, LineText):
        return _is_form(value.text)
    event = first(value)
    return event is not None and any(name in event for name in _IDS)


def _is_form(line: str) -> bool:
    return "&" in line and "Sid=" in line and not any(char in line for char in ' {"')


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    if isinstance(value, LineText) and _is_form(value.text):
        if value.text.count("&") > _MOST_FIELDS:
            return [Rejected(f"more than {_MOST_FIELDS} form fields")]
        value = dict(_fields(value.text))
    return read_each(value, hints, _event)


def _fields(form: str) -> Iterator[tuple[str, str]]:
    """Returns the fields, like urllib's parse_qsl, which takes ten times as long if nothing is encoded (the usual
    case).
    """
    for part in form.split("&"):
        name, _, written = part.partition("=")
        yield name, unquote_plus(written) if "%" in written or "+" in written else written


def _event(value: Any, hints: FieldMapping) -> ParsedEvent:
    if not isinstance(value, dict):
        return Rejected(
            value.fault if isinstance(value, LineText) else "the line: neither an object nor form-encoded"
        )
    # MessageSid in callbacks, messageSid in Event Streams: the same fields in two spellings.
    said = {key.lower(): _plain(item) for key, item in value.items()}
    sid = said.get("messagesid") or said.get("smssid")
    told = (said.get("messagestatus") or said.get("smsstatus") or "").lower()
    if not sid:
        return Rejected("MessageSid: missing")
    if not told:
        return Rejected("MessageStatus: missing")
    status = STATUSES.get(told)
    if status is None:
        return Skipped("status_not_relayed", told)
    channel, number = _recipient(said.get("to"))
    number = recipient_of(number, value, hints)
    time = _done(said.get("rawdlrdonedate")) or said.get("timestamp")
    return provided(
        value,
        hints,
        identity=f"twilio:{sid}:{told}",
        status=status,
        recipient=number,
        variables=value.get("tags"),
        channel=channel,
        time=time,
        failure=_failure(said, status, told),
        detail=said.get("errormessage") or said.get("channelstatusmessage"),
        further=EventDetails(
            profile_number=number,
            message_parts=said.get("numsegments") or said.get("numberofsegments"),
            delivered_at=time if status == "delivered" else None,
        ),
        execution_id=sid,
    )


def _plain(value: object) -> str | None:
    return text(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _recipient(to: str | None) -> tuple[str, str | None]:
    """Returns the channel and the number: ``whatsapp:+1555…`` is not an SMS."""
    channel, colon, number = (to or "").partition(":")
    return (channel.lower(), number or None) if colon else (Channel.SMS, to or None)


def _failure(said: dict[str, str | None], status: str, told: str) -> MessageFailure | None:
    """Returns Twilio's code and text, or the status if the text is absent."""
    if status not in ("bounce", "error"):
        return None
    code = said.get("errorcode")
    return MessageFailure(
        category=ASYNC if status == "bounce" else SYNC,
        type=HARD if code in _PERMANENT else None,
        code=code,
        reason=said.get("errormessage") or said.get("channelstatusmessage") or told,
    )


def _done(date: str | None) -> str | None:
    """Returns the time of ``YYMMDDhhmm``, as given by the carrier, read as UTC."""
    if date is None or len(date) != len("YYMMDDhhmm") or not (date.isascii() and date.isdecimal()):
        return None
    year, month, day, hour, minute = (int(date[at : at + 2]) for at in range(0, 10, 2))
    try:
        return utc_text(datetime(2000 + year, month, day, hour, minute, tzinfo=UTC))
    except ValueError:
        return None
