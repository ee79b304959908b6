"""Sample lines of the providers that send email. Those without custom arguments return none (Postfix)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hookline.model import FeedbackStatus
from hookline.relay.formats.samples.sample_message import SampleMessage, compact

_SENT, _DELIVERED = FeedbackStatus.SENT, FeedbackStatus.DELIVERED
_BOUNCE, _ERROR = FeedbackStatus.BOUNCE, FeedbackStatus.ERROR
_UNKNOWN = "550 5.1.1 no such user"
_SENDER, _SUBJECT = "orders@shop.example", "Your order"

_Fields = Mapping[FeedbackStatus, Mapping[str, Any]]
_SENDGRID: _Fields = {
    _SENT: {"event": "processed"},
    _DELIVERED: {"event": "delivered", "response": "250 2.0.0 OK"},
    _BOUNCE: {
        "event": "bounce", "type": "bounce", "status": "5.1.1", "reason": _UNKNOWN,
        "bounce_classification": "Invalid Address", "tls": 1,
    },
    _ERROR: {"event": "dropped", "reason": "Bounced Address", "status": "5.0.0"},
}  # fmt: skip


def sendgrid_sample(message: SampleMessage) -> str:
    event = {
        "email": message.recipient,
        "timestamp": int(message.at),
        "smtp-id": f"<{message.token[:11]}@geopod-ismtpd-1>",
        "category": ["orders"],
        "sg_event_id": message.token,
        "sg_message_id": f"{message.token[:11]}.recvd-{message.token[11:21]}-1",
        **_SENDGRID[message.status],
        **message.variables,
    }
    return compact(event)


def ses_sample(message: SampleMessage) -> str:
    """An event as Firehose and event destinations write it, without the envelope of SNS."""
    name, details = _ses_details(message)
    mail = {
        "timestamp": message.time,
        "source": _SENDER,
        "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/shop.example",
        "sendingAccountId": "123456789012",
        "messageId": f"0100{message.token[:12]}-{message.uuid}-000000",
        "destination": [message.recipient],
        "headersTruncated": False,
        "headers": [{"name": "From", "value": _SENDER}, {"name": "To", "value": message.recipient}],
        "commonHeaders": {"from": [_SENDER], "to": [message.recipient], "subject": _SUBJECT},
        "tags": {
            "ses:configuration-set": ["orders"],
            **{name: [text] for name, text in message.variables.items()},
        },
    }
    return compact({"eventType": name, "mail": mail, name.lower(): details})


def _ses_details(message: SampleMessage) -> tuple[str, dict[str, Any]]:
    if message.status == _SENT:
        return "Send", {}
    if message.status == _DELIVERED:
        return "Delivery", {
            "timestamp": message.time, "processingTimeMillis": 367, "recipients": [message.recipient],
            "smtpResponse": "250 2.0.0 OK", "reportingMTA": "a8-50.smtp-out.amazonses.com",
        }  # fmt: skip
    if message.status == _ERROR:
        return "Reject", {"reason": "Bad content"}
    bounced = {
        "emailAddress": message.recipient, "action": "failed", "status": "5.1.1",
        "diagnosticCode": f"smtp; {_UNKNOWN}",
    }  # fmt: skip
    return "Bounce", {
        "bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [bounced],
        "timestamp": message.time, "feedbackId": f"0100{message.token[:12]}-{message.uuid}-000000",
        "reportingMTA": "dns; a8-50.smtp-out.amazonses.com", "remoteMtaIp": "192.0.2.25",
    }  # fmt: skip


_MAILGUN: _Fields = {
    _SENT: {"event": "accepted", "log-level": "info"},
    _DELIVERED: {
        "event": "delivered", "log-level": "info",
        "delivery-status": {"code": 250, "message": "OK", "attempt-no": 1, "tls": True},
    },
    _BOUNCE: {
        "event": "failed", "severity": "permanent", "reason": "bounce", "log-level": "error",
        "delivery-status": {"code": 550, "enhanced-code": "5.1.1", "message": _UNKNOWN, "attempt-no": 1},
    },
    _ERROR: {"event": "rejected", "reject": {"reason": "Sandbox subdomains are for test purposes only"}},
}  # fmt: skip


def mailgun_sample(message: SampleMessage) -> str:
    """A webhook as Mailgun posts it. The signature is none."""
    headers = {
        "to": message.recipient, "from": _SENDER, "subject": _SUBJECT, "message-id": f"{message.token}@shop.example",
    }  # fmt: skip
    event = {
        "id": message.token[:22],
        "timestamp": message.at,
        "recipient": message.recipient,
        "user-variables": message.variables,
        "message": {"headers": headers, "attachments": [], "size": 809},
        **_MAILGUN[message.status],
    }
    signature = {"timestamp": str(int(message.at)), "token": message.token, "signature": "0" * 64}
    return compact({"signature": signature, "event-data": event})


_POSTMARK: _Fields = {
    _BOUNCE: {
        "Type": "HardBounce", "TypeCode": 1, "Name": "Hard bounce", "Details": f"smtp;{_UNKNOWN}",
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
    },
    _ERROR: {
        "Type": "ManuallyDeactivated", "TypeCode": 100006, "Name": "Manually deactivated", "Details": "",
        "Description": "The email was manually deactivated.",
    },
}  # fmt: skip


def postmark_sample(message: SampleMessage) -> str:
    common = {"ServerID": 23, "MessageStream": "outbound", "MessageID": message.uuid, "Metadata": message.variables}
    if message.status == _DELIVERED:
        details = {"Recipient": message.recipient, "DeliveredAt": message.time, "Details": "smtp;250 2.0.0 OK"}
        return compact({"RecordType": "Delivery", **common, **details})
    bounce = {"ID": int(message.token[:12], 16), "Email": message.recipient, "From": _SENDER, "Subject": _SUBJECT}
    return compact(
        {"RecordType": "Bounce", **common, **bounce, "BouncedAt": message.time, **_POSTMARK[message.status]}
    )


_SPARKPOST: _Fields = {
    _SENT: {"type": "injection"},
    _DELIVERED: {"type": "delivery", "queue_time": "12", "num_retries": "0"},
    _BOUNCE: {
        "type": "bounce", "bounce_class": "10", "error_code": "550", "raw_reason": _UNKNOWN, "reason": _UNKNOWN,
    },
    _ERROR: {
        "type": "generation_rejection", "raw_reason": "554 5.7.1 recipient address suppressed",
        "reason": "554 5.7.1 recipient address suppressed due to system policy",
    },
}  # fmt: skip


def sparkpost_sample(message: SampleMessage) -> str:
    event = {
        "event_id": str(int(message.token[:14], 16)),
        "message_id": message.token[:20],
        "transmission_id": str(int(message.token[14:28], 16)),
        "timestamp": str(int(message.at)),
        "friendly_from": _SENDER,
        "rcpt_to": message.recipient,
        "rcpt_meta": message.variables,
        "subject": _SUBJECT,
        **_SPARKPOST[message.status],
    }
    return compact({"msys": {"message_event": event}})


_POSTFIX: Mapping[FeedbackStatus, tuple[str, str, str]] = {
    _DELIVERED: ("smtp", "dsn=2.0.0, status=sent", "250 2.0.0 Ok: queued as 8BDCA22DA71"),
    _BOUNCE: ("smtp", "dsn=5.1.1, status=bounced", f"host mail.example.com[192.0.2.25] said: {_UNKNOWN}"),
    _ERROR: ("discard", "dsn=2.0.0, status=sent", "example.com"),
}


def postfix_sample(message: SampleMessage) -> str:
    """A syslog line with the time of RFC 3339. Postfix has no custom arguments."""
    time = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="microseconds")
    agent, status, text = _POSTFIX[message.status]
    relay = "none" if agent == "discard" else "mail.example.com[192.0.2.25]:25"
    return (
        f"{time} mx1 postfix/{agent}[2538]: {message.token[:11].upper()}: to=<{message.recipient}>, relay={relay}, "
        f"delay=1.1, delays=0.04/0/0.6/0.46, {status} ({text})"
    )
