"""Sinch's SMS delivery reports: one for each recipient, or one for a batch with its list of recipients.

https://developers.sinch.com/docs/sms/api-reference/sms/delivery-reports and its Webhooks page
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hookline.model import Channel
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import ASYNC, HARD, SOFT, SYNC, BounceKind
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.provider_event import (
    JsonScalar,
    each,
    first,
    provided,
    recipient_of,
    text,
    unless_skipped,
)
from hookline.relay.formats.typed_fields import shaped

NAME = "sinch"

STATUSES: Mapping[str, str] = {
    "dispatched": "sent",
    "delivered": "delivered",
    "failed": "bounce",
    "expired": "bounce",
    "deleted": "bounce",
    "rejected": "bounce",
    "aborted": "error",
    "cancelled": "error",
    "canceled": "error",
}
OTHERS: tuple[str, ...] = ("queued", "unknown")
# The REST API's codes: their names, and whether a retry can succeed.
_CODES: dict[str, tuple[str, BounceKind | None]] = {
    "402": ("Message unroutable", HARD),
    "403": ("Internal error", None),
    "404": ("Temporary delivery failure", SOFT),
    "405": ("Unmatched parameter", None),
    "406": ("Internal expiry", None),
    "407": ("Cancelled", None),
    "408": ("Internal reject", HARD),
    "410": ("Unmatched default originator", None),
    "411": ("Exceeded parts limit", None),
    "412": ("Unprovisioned region", None),
}
_REPORTS = ("recipient_delivery_report", "delivery_report")
_NO_EVENT = Skipped("not_an_event")


class _Report(msgspec.Struct, frozen=True):
    """The report of one recipient. A batch report gives one for each recipient in its list."""

    status: str
    batch_id: str
    type: str | None = None
    recipient: JsonScalar = None
    code: JsonScalar = None
    at: str | None = None
    operator_status_at: str | None = None
    status_message: str | None = None
    encoding: str | None = None
    parts: JsonScalar = msgspec.field(name="number_of_message_parts", default=None)
    client_reference: str | None = None


class _Group(msgspec.Struct, frozen=True):
    status: str
    code: JsonScalar = None
    recipients: list[str] | None = None


class _Batch(msgspec.Struct, frozen=True):
    batch_id: str
    statuses: list[_Group]
    type: str | None = None
    client_reference: str | None = None


def recognizes(value: object) -> bool:
    event = first(value)
    if event is None or "batch_id" not in event:
        return False
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(_REPORTS):
        return True
    return "recipient" in event and "status" in event


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return (reading for one in each(value) for reading in _events(one, hints))


def _events(value: Any, hints: FieldMapping) -> Iterator[ParsedEvent]:
    if isinstance(value, dict) and value.get("statuses") is not None:
        yield from _listed(value, hints)
        return
    read = shaped(value, _Report)
    if isinstance(read, Rejected):
        told = value.get("status") if isinstance(value, dict) else None
        known = isinstance(told, str) and told.lower() in STATUSES
        yield read if known else unless_skipped(read, told, STATUSES)
        return
    yield _event(value, read, hints)


def _listed(value: dict[str, Any], hints: FieldMapping) -> Iterator[ParsedEvent]:
    """Returns the recipients in a full report. A summary only counts them, so it contains no event."""
    batch = shaped(value, _Batch)
    if isinstance(batch, Rejected):
        yield batch
        return
    nobody = True
    for group in batch.statuses:
        for recipient in group.recipients or ():
            nobody = False
            report = _Report(
                status=group.status,
                batch_id=batch.batch_id,
                type=batch.type,
                recipient=recipient,
                code=group.code,
                client_reference=batch.client_reference,
            )
            yield _event(value, report, hints)
    if nobody:
        yield _NO_EVENT


def _event(value: Any, read: _Report, hints: FieldMapping) -> ParsedEvent:
    told = read.status.lower()
    status = STATUSES.get(told)
    if status is None:
        return Skipped("status_not_relayed", read.status)
    recipient = recipient_of(text(read.recipient), value, hints)
    time = read.operator_status_at or read.at
    channel = Channel.SMS if read.type is None or not read.type.endswith("_mms") else "mms"
    return provided(
        value,
        hints,
        identity=f"sinch:{read.batch_id}:{recipient}:{told}",
        status=status,
        recipient=recipient,
        channel=channel,
        time=time,
        failure=_failure(read, status),
        detail=read.status_message or (f"{read.status} {code}" if (code := text(read.code)) else read.status),
        further=EventDetails(
            profile_number=recipient,
            encoding=read.encoding,
            message_parts=text(read.parts),
            delivered_at=time if status == "delivered" else None,
        ),
        execution_id=read.batch_id,
        request_id=read.client_reference,  # the client's own name for the request of the batch
    )


def _failure(read: _Report, status: str) -> MessageFailure | None:
    """Returns Sinch's code and a text: the text of the report, otherwise the name of the code, otherwise the
    status.
    """
    if status not in ("bounce", "error"):
        return None
    code = text(read.code)
    name, kind = _CODES.get(code or "", (None, None))
    return MessageFailure(
        category=ASYNC if status == "bounce" else SYNC,
        type=kind,
        code=code,
        reason=read.status_message or name or read.status,
    )
