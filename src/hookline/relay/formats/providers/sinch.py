"""Sinch's SMS delivery reports: one for each recipient, or one for a batch with its list of recipients.

https://developers.sinch.com/docs/sms/api-reference/sms/delivery-reports and its Webhooks page
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hookline.model import Channel
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, EventDetails, MessageFailure
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.bounce_classes import BounceKind
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import (
    as_object,
    complete_event,
    recipient_of,
    skip_or_reject,
)
from hookline.relay.formats.typed_fields import JsonScalar, as_text, to_struct

NAME = "sinch"
DESCRIPTION = Description(
    "sms",
    "a delivery report of Sinch: for one recipient, or for a batch with its list of recipients",
    "`batch_id` with a report's `type`, or with `recipient` and `status`",
)

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
    "402": ("Message unroutable", "Hard"),
    "403": ("Internal error", None),
    "404": ("Temporary delivery failure", "Soft"),
    "405": ("Unmatched parameter", None),
    "406": ("Internal expiry", None),
    "407": ("Cancelled", None),
    "408": ("Internal reject", "Hard"),
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
    client_reference: str | None = None
    at: str | None = None
    operator_status_at: str | None = None
    status_message: str | None = None
    encoding: str | None = None
    parts: JsonScalar = msgspec.field(name="number_of_message_parts", default=None)


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
    event = as_object(value)
    if "batch_id" not in event:
        return False
    kind = event.get("type")
    if isinstance(kind, str) and kind.startswith(_REPORTS):
        return True
    return "recipient" in event and "status" in event


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return _events(value, mapping)


def _events(value: Any, mapping: FieldMapping) -> Iterator[ParsedEvent]:
    if isinstance(value, dict) and value.get("statuses") is not None:
        yield from _full_report(value, mapping)
        return
    report = to_struct(value, _Report)
    if isinstance(report, Rejected):
        name = value.get("status") if isinstance(value, dict) else None
        known = isinstance(name, str) and name.lower() in STATUSES
        yield report if known else skip_or_reject(report, name, STATUSES)
        return
    yield _event(value, report, mapping)


def _full_report(value: dict[str, Any], mapping: FieldMapping) -> Iterator[ParsedEvent]:
    """Returns the recipients in a full report. A summary only counts them, so it contains no event."""
    batch = to_struct(value, _Batch)
    if isinstance(batch, Rejected):
        yield batch
        return

    is_empty = True
    for group in batch.statuses:
        for recipient in group.recipients or ():
            is_empty = False
            report = _Report(group.status, batch.batch_id, batch.type, recipient, group.code, batch.client_reference)
            yield _event(value, report, mapping)
    if is_empty:
        yield _NO_EVENT


def _event(value: Any, report: _Report, mapping: FieldMapping) -> ParsedEvent:
    name = report.status.lower()
    status = STATUSES.get(name)
    if status is None:
        return Skipped("status_not_relayed", report.status)
    recipient = recipient_of(as_text(report.recipient), value, mapping)
    time = report.operator_status_at or report.at
    code = as_text(report.code)
    parsed = Event(
        identity=f"sinch:{report.batch_id}:{recipient}:{name}",
        status=status,
        channel="mms" if (report.type or "").endswith("_mms") else Channel.SMS,
        time=time,
        failure=_failure(report, status),
        detail=report.status_message or (f"{report.status} {code}" if code else report.status),
        further=EventDetails(
            profile_number=recipient,
            encoding=report.encoding,
            message_parts=as_text(report.parts),
            delivered_at=time if status == "delivered" else None,
        ),
        execution_id=report.batch_id,
        request_id=report.client_reference,  # the client's own name for the request of the batch
    )
    return complete_event(parsed, value, mapping, recipient=recipient)


def _failure(report: _Report, status: str) -> MessageFailure | None:
    """Returns Sinch's code and the text of the report, otherwise the name of the code or the status."""
    if status not in ("bounce", "error"):
        return None
    code = as_text(report.code)
    name, kind = _CODES.get(code or "", (None, None))
    return MessageFailure(
        category="async" if status == "bounce" else "sync",
        type=kind,
        code=code,
        reason=report.status_message or name or report.status,
    )
