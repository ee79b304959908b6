"""Sample lines of the providers that send SMS. Neither returns custom arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookline.model import FeedbackStatus
from hookline.relay.formats.samples.sample_message import SampleMessage, compact

_TWILIO: Mapping[FeedbackStatus, tuple[str, Mapping[str, Any]]] = {
    FeedbackStatus.SENT: ("sent", {}),
    FeedbackStatus.DELIVERED: ("delivered", {}),
    FeedbackStatus.BOUNCE: (
        "undelivered",
        {"ErrorCode": 30005, "ErrorMessage": "Unknown destination handset"},
    ),
    FeedbackStatus.ERROR: ("failed", {"ErrorCode": 30001, "ErrorMessage": "Queue overflow"}),
}


def twilio_sample(message: SampleMessage) -> str:
    """A status callback with the fields of the form as JSON."""
    status, failure = _TWILIO[message.status]
    sid = f"SM{message.token}"
    callback = {
        "SmsSid": sid,
        "SmsStatus": status,
        "MessageStatus": status,
        "To": message.recipient,
        "MessageSid": sid,
        "AccountSid": "AC00000000000000000000000000000000",
        "From": "+15555550199",
        "ApiVersion": "2010-04-01",
        **failure,
    }
    return compact(callback)


_SINCH: Mapping[FeedbackStatus, tuple[str, int]] = {
    FeedbackStatus.SENT: ("Dispatched", 401),
    FeedbackStatus.DELIVERED: ("Delivered", 0),
    FeedbackStatus.BOUNCE: ("Failed", 11),
    FeedbackStatus.ERROR: ("Aborted", 403),
}


def sinch_sample(message: SampleMessage) -> str:
    """A delivery report for one recipient."""
    status, code = _SINCH[message.status]
    report = {
        "type": "recipient_delivery_report_sms",
        "batch_id": f"01{message.token[:24].upper()}",
        "recipient": message.recipient.removeprefix("+"),
        "code": code,
        "status": status,
        "at": message.time,
        "operator_status_at": message.time,
        "encoding": "GSM",
        "number_of_message_parts": 1,
        "client_reference": message.request_id,
    }
    return compact(report)
