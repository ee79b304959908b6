"""The formats whose lines contain events directly, by name. Formats that unwrap other formats are not included."""

from __future__ import annotations

from hookline.relay.formats.format import Format
from hookline.relay.formats.providers import (
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

PROVIDER_FORMATS: dict[str, Format] = {
    payload.NAME: payload,
    xdm.NAME: xdm,
    sendgrid.NAME: sendgrid,
    ses.NAME: ses,
    mailgun.NAME: mailgun,
    postmark.NAME: postmark,
    sparkpost.NAME: sparkpost,
    twilio.NAME: twilio,
    sinch.NAME: sinch,
    postfix.NAME: postfix,
}
