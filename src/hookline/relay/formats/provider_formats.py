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

_FORMATS: tuple[Format, ...] = (payload, xdm, sendgrid, ses, mailgun, postmark, sparkpost, twilio, sinch, postfix)
PROVIDER_FORMATS = {known.NAME: known for known in _FORMATS}
