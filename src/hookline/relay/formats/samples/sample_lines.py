"""The formats of sample events: which channels and statuses each has a line for, and what the relay must be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from hookline.model import Channel, FeedbackStatus
from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.samples import email_samples, platform_samples, sms_samples
from hookline.relay.formats.samples.sample_message import SampleMessage

_ALL = frozenset(FeedbackStatus)
_BOTH = frozenset(Channel)
_EMAIL = frozenset({Channel.EMAIL})
_SMS = frozenset({Channel.SMS})


class SampleFormat(msgspec.Struct, frozen=True):
    """One format of sample events.

    Attributes:
        line: makes the line of a message.
        channels: the channels that the format has.
        statuses: the statuses for which the format has a line. Postfix, for example, has no line for ``sent``.
        has_address: the line names organization and sandbox.
        has_campaign: the line names the campaign and the message type.
    """

    line: Callable[[SampleMessage], str]
    channels: frozenset[Channel] = _EMAIL
    statuses: frozenset[FeedbackStatus] = _ALL
    has_address: bool = False
    has_campaign: bool = True


# By the name of the format. The first one is the default: the relay needs no option for it.
SAMPLE_FORMATS: Mapping[str, SampleFormat] = {
    "payload": SampleFormat(platform_samples.payload_sample, _BOTH, has_address=True),
    "xdm": SampleFormat(platform_samples.xdm_sample, _BOTH),
    "sendgrid": SampleFormat(email_samples.sendgrid_sample),
    "ses": SampleFormat(email_samples.ses_sample),
    "mailgun": SampleFormat(email_samples.mailgun_sample),
    "postmark": SampleFormat(email_samples.postmark_sample, statuses=_ALL - {FeedbackStatus.SENT}),
    "sparkpost": SampleFormat(email_samples.sparkpost_sample),
    "twilio": SampleFormat(sms_samples.twilio_sample, _SMS, has_campaign=False),
    "sinch": SampleFormat(sms_samples.sinch_sample, _SMS, has_campaign=False),
    "postfix": SampleFormat(email_samples.postfix_sample, statuses=_ALL - {FeedbackStatus.SENT}, has_campaign=False),
    "cloudevents": SampleFormat(platform_samples.cloudevents_sample, _BOTH, has_address=True),
    dead_letter_format.NAME: SampleFormat(platform_samples.dead_letter_sample, _BOTH, has_address=True),
}


def needed_options(name: str, message: SampleMessage) -> tuple[str, ...]:
    """Returns the options with which the relay can read a line of the format `name`, beside ``-``."""
    known = SAMPLE_FORMATS[name]
    address = message.webhook.address
    options: tuple[str, ...] = ("--format", name) if name == dead_letter_format.NAME else ()
    if not known.has_address:
        options += ("--organization", address.organization, "--sandbox", address.sandbox)
    if not known.has_campaign and message.webhook.campaigns is not None:
        options += ("--campaign", message.campaign)
    return options
