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
from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.format import Description, LineText, ParsedEvent
from hookline.relay.formats.provider_event import as_object, complete_event, recipient_of
from hookline.relay.formats.recognition import describe_text
from hookline.relay.formats.typed_fields import as_text
from hookline.units import utc_text

NAME = "twilio"
DESCRIPTION = Description(
    "sms",
    "a status callback of Twilio: form-encoded (as posted) or JSON",
    "`MessageSid`, `messageSid` or `SmsSid`; also `CallSid` and `ConversationSid`, to skip them",
)

STATUSES: Mapping[str, str] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "delivered",
    "undelivered": "bounce",
    "failed": "error",
    "canceled": "error",
}
# Requests of Twilio that are no result of a message. One URL often receives all of them.
_CALL, _CONVERSATION, _INBOUND = "call", "conversation", "received"
OTHERS: tuple[str, ...] = (
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "receiving",
    _INBOUND,
    _CALL,
    _CONVERSATION,
)
# Errors for numbers that Twilio's documentation calls unreachable: unknown, or a landline.
_PERMANENT = {"30005", "30006"}
_IDS = ("MessageSid", "messageSid", "SmsSid", "CallSid", "callSid", "ConversationSid", "conversationSid")
MAX_FIELDS = 200


def recognizes(value: object) -> bool:
    if isinstance(value, LineText):
        return _is_form(value.text)
    return not as_object(value).keys().isdisjoint(_IDS)


def _is_form(line: str) -> bool:
    form = line.rstrip()
    return "&" in form and "Sid=" in form and not any(char in form for char in ' {"')


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    if isinstance(value, LineText) and _is_form(value.text):
        if value.text.count("&") > MAX_FIELDS:
            return [Rejected(f"more than {MAX_FIELDS} form fields")]
        value = dict(_fields(value.text.rstrip()))
    return [_event(value, mapping)]


def _fields(form: str) -> Iterator[tuple[str, str]]:
    """Yields the fields, like urllib's parse_qsl, which takes ten times as long if nothing is encoded."""
    for part in form.split("&"):
        name, _, written = part.partition("=")
        yield name, unquote_plus(written) if "%" in written or "+" in written else written


def _event(value: Any, mapping: FieldMapping) -> ParsedEvent:
    if isinstance(value, LineText):
        return Rejected(describe_text(value))
    if not isinstance(value, dict):
        return Rejected("the line: neither an object nor form-encoded")
    # MessageSid in callbacks, messageSid in Event Streams: the same fields in two spellings.
    fields = {key.lower(): _scalar_text(item) for key, item in value.items()}
    sid = fields.get("messagesid") or fields.get("smssid")
    name = (fields.get("messagestatus") or fields.get("smsstatus") or "").lower()
    if not sid or not name:
        if other := _other_request(fields):
            return Skipped("status_not_relayed", other)
        return Rejected("MessageStatus: missing" if sid else "MessageSid: missing")
    status = STATUSES.get(name)
    if status is None:
        return Skipped("status_not_relayed", name)
    channel, number = _recipient(fields.get("to"))
    number = recipient_of(number, value, mapping)
    time = _carrier_time(fields.get("rawdlrdonedate")) or fields.get("timestamp")
    parsed = Event(
        identity=f"twilio:{sid}:{name}",
        status=status,
        channel=channel,
        time=time,
        failure=_failure(fields, status, name),
        detail=fields.get("errormessage") or fields.get("channelstatusmessage"),
        further=EventDetails(
            profile_number=number,
            message_parts=fields.get("numsegments") or fields.get("numberofsegments"),
            delivered_at=time if status == "delivered" else None,
        ),
        execution_id=sid,
    )
    return complete_event(parsed, value, mapping, recipient=number, variables=value.get("tags"))


def _other_request(fields: dict[str, str | None]) -> str | None:
    """Returns the kind of a request without a message's status: of a call, a conversation, or an inbound message."""
    if fields.get("callsid"):
        return _CALL
    if fields.get("conversationsid") or fields.get("eventtype"):
        return _CONVERSATION
    is_inbound = fields.get("body") is not None and fields.get("from") and fields.get("to")
    return _INBOUND if is_inbound else None


def _scalar_text(value: object) -> str | None:
    return as_text(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _recipient(to: str | None) -> tuple[str, str | None]:
    """Returns the channel and the number: ``whatsapp:+1555…`` is not an SMS."""
    channel, colon, number = (to or "").partition(":")
    return (channel.lower(), number or None) if colon else (Channel.SMS, to or None)


def _failure(fields: dict[str, str | None], status: str, name: str) -> MessageFailure | None:
    """Returns Twilio's code and text, or the status if the text is absent."""
    if status not in ("bounce", "error"):
        return None
    code = fields.get("errorcode")
    return MessageFailure(
        category="async" if status == "bounce" else "sync",
        type="Hard" if code in _PERMANENT else None,
        code=code,
        reason=fields.get("errormessage") or fields.get("channelstatusmessage") or name,
    )


def _carrier_time(date: str | None) -> str | None:
    """Returns the time of ``YYMMDDhhmm``, as given by the carrier, read as UTC."""
    if date is None or len(date) != len("YYMMDDhhmm") or not (date.isascii() and date.isdecimal()):
        return None
    year, month, day, hour, minute = (int(date[at : at + 2]) for at in range(0, 10, 2))
    try:
        return utc_text(datetime(2000 + year, month, day, hour, minute, tzinfo=UTC))
    except ValueError:
        return None
