"""What each format is, in words: for `hookline formats` and the reference."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hookline.relay.formats import (
    cloudevents,
    dead,
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


class Description(msgspec.Struct, frozen=True):
    """`lines`: what a line holds. `mark`: by what ``auto`` recognizes it."""

    channels: str
    lines: str
    mark: str


DESCRIPTIONS: Mapping[str, Description] = {
    dead.NAME: Description(
        "email, sms",
        "a dead letter that `hookline dead export` wrote, under its own id and to its own webhook",
        '`"hookline": "dead-letter"`',
    ),
    payload.NAME: Description(
        "email, sms",
        "the platform's payload, in either structure, which is also what is sent, or a list of them",
        "`messageDeliveryFeedback` or `messageExecution` at the top",
    ),
    xdm.NAME: Description(
        "email, sms",
        "the platform's message feedback dataset event, or a list of them",
        "`_experience.customerJourneyManagement`, or full names below it",
    ),
    sendgrid.NAME: Description(
        "email",
        "events of SendGrid's Event Webhook: one, or a list as it is posted",
        "`event` and `email`, with `sg_event_id`, `sg_message_id` or `timestamp`",
    ),
    ses.NAME: Description(
        "email",
        "an event of Amazon SES: bare, as Firehose writes it, or in the envelope of SNS or EventBridge",
        "`mail` with `eventType` or `notificationType`; `Type` of SNS; `source` of EventBridge",
    ),
    mailgun.NAME: Description(
        "email",
        "a webhook of Mailgun, or the event inside of it",
        "`event-data`, or `event`, `id` and `timestamp` with `recipient` or `message`",
    ),
    postmark.NAME: Description("email", "a bounce or delivery webhook of Postmark", "`RecordType`"),
    sparkpost.NAME: Description(
        "email",
        "events of SparkPost's webhooks: a list as it is posted, one in its envelope, or one without",
        "`msys`, or `event_id`, `type` and `rcpt_to`",
    ),
    twilio.NAME: Description(
        "sms",
        "a status callback of Twilio: form-encoded as it is posted, or as JSON",
        "`MessageSid`, `messageSid` or `SmsSid`",
    ),
    sinch.NAME: Description(
        "sms",
        "a delivery report of Sinch: of one recipient, or of a batch that lists its recipients",
        "`batch_id` with `type` of a report, or with `recipient` and `status`",
    ),
    postfix.NAME: Description(
        "email",
        "a line of Postfix's log, by syslog or as an entry of the journal; lines without an outcome are skipped",
        "the time, host and program of a syslog line; `MESSAGE` and `SYSLOG_IDENTIFIER`",
    ),
    cloudevents.NAME: Description(
        "as inside",
        "a CloudEvent, or a list of them, with events of another format as its data",
        "`specversion` with `type` or `source`",
    ),
}
