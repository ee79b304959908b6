"""The formats of event logs, by name. A format is a module that has the names of `format.Format`."""

from __future__ import annotations

from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.format import Format, Quick
from hookline.relay.formats.provider_formats import PROVIDER_FORMATS
from hookline.relay.formats.providers import cloudevents, payload, xdm

FORMATS: dict[str, Format] = {
    **PROVIDER_FORMATS,
    cloudevents.NAME: cloudevents,
    dead_letter_format.NAME: dead_letter_format,
}
QUICK: dict[str, Quick] = {xdm.NAME: xdm.quick, payload.NAME: payload.quick}
