"""The formats of event logs, by name, with their descriptions. A format is a module with the names of `Format`."""

from __future__ import annotations

from collections.abc import Mapping

from hookline.relay.formats import dead_letter_format
from hookline.relay.formats.format import Description, Format, Quick
from hookline.relay.formats.provider_formats import PROVIDER_FORMATS
from hookline.relay.formats.providers import cloudevents, payload, xdm

FORMATS: dict[str, Format] = {
    **PROVIDER_FORMATS,
    cloudevents.NAME: cloudevents,
    dead_letter_format.NAME: dead_letter_format,
}
# A dead letter has its own webhook and id, so a log must not contain one: only the named format reads it.
AUTO_FORMATS = {name: known for name, known in FORMATS.items() if name != dead_letter_format.NAME}
QUICK: dict[str, Quick] = {payload.NAME: payload.quick, xdm.NAME: xdm.quick}


DESCRIPTIONS: Mapping[str, Description] = {name: known.DESCRIPTION for name, known in FORMATS.items()}
