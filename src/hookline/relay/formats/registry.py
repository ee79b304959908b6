"""The formats of event logs, by name, with their descriptions. A format is a module with the names of `Format`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.format import Format, Quick
from hookline.relay.formats.provider_formats import PROVIDER_FORMATS
from hookline.relay.formats.providers import (
    cloudevents,
    mailgun,
    payload,
    postfix,
    postmark,
    sendgrid,
    ses,
    sinch,
    sparkpost,
    twilio,
    xdm,
)

FORMATS: dict[str, Format] = {
    **PROVIDER_FORMATS,
    cloudevents.NAME: cloudevents,
    dead_letter_format.NAME: dead_letter_format,
}
# A dead letter has its own webhook and id, so a log must not contain one: only the named format reads it.
AUTO_FORMATS = {name: known for name, known in FORMATS.items() if name != dead_letter_format.NAME}
QUICK: dict[str, Quick] = {payload.NAME: payload.quick, xdm.NAME: xdm.quick}


class Description(msgspec.Struct, frozen=True):
    """`lines` describes the content of a line, `mark` the fields by which ``auto`` recognizes it."""

    channels: str
    lines: str
    mark: str


DESCRIPTIONS: Mapping[str, Description] = {
    dead_letter_format.NAME: Description(
        "email, sms",
        "a dead letter from `hookline dead export`; keeps its id and its webhook",
        "nothing: only `--format dead-letter` and `hookline dead import` read it",
    ),
    payload.NAME: Description(
        "email, sms",
        "the platform's payload in structure 1 or 2, as hookline sends it, or a list of payloads",
        "`messageDeliveryFeedback` or `messageExecution` at the top level",
    ),
    xdm.NAME: Description(
        "email, sms",
        "an event of the platform's message feedback dataset, or a list of events",
        "`_experience.customerJourneyManagement`, or the full names of its fields",
    ),
    sendgrid.NAME: Description(
        "email",
        "an event of SendGrid's Event Webhook, or the posted list of events",
        "`event` and `email`, with `sg_event_id`, `sg_message_id` or `timestamp`",
    ),
    ses.NAME: Description(
        "email",
        "an event of Amazon SES: without envelope (Firehose), or in the envelope of SNS or EventBridge",
        "`mail` with `eventType` or `notificationType`; `Type` of SNS; `source` of EventBridge",
    ),
    mailgun.NAME: Description(
        "email",
        "a Mailgun webhook, or its event alone",
        "`event-data`, or `event`, `id` and `timestamp` with `recipient` or `message`",
    ),
    postmark.NAME: Description("email", "a bounce or delivery webhook of Postmark", "`RecordType`"),
    sparkpost.NAME: Description(
        "email",
        "events of SparkPost's webhooks: the posted list, or one event with or without its envelope",
        "`msys`, or `event_id`, `type` and `rcpt_to`",
    ),
    twilio.NAME: Description(
        "sms",
        "a status callback of Twilio: form-encoded (as posted) or JSON",
        "`MessageSid`, `messageSid` or `SmsSid`; also `CallSid` and `ConversationSid`, to skip them",
    ),
    sinch.NAME: Description(
        "sms",
        "a delivery report of Sinch: for one recipient, or for a batch with its list of recipients",
        "`batch_id` with a report's `type`, or with `recipient` and `status`",
    ),
    postfix.NAME: Description(
        "email",
        "a line of Postfix's log: a syslog line or a journal entry; lines without a delivery status are skipped",
        "time, host and program of a syslog line; `MESSAGE` and `SYSLOG_IDENTIFIER` of a journal entry",
    ),
    cloudevents.NAME: Description(
        "as the inner format",
        "a CloudEvent whose data is an event of another format, or a list of CloudEvents",
        "`specversion` with `type` or `source`",
    ),
}
