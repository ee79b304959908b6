"""The formats of lines that the relay reads. A format is a module with the names of port.Format."""

from __future__ import annotations

from hookline.relay.formats import cloudevents, dead, payload, xdm
from hookline.relay.formats.plain import PLAIN
from hookline.relay.formats.port import Format, Quick

FORMATS: dict[str, Format] = {**PLAIN, cloudevents.NAME: cloudevents, dead.NAME: dead}
QUICK: dict[str, Quick] = {xdm.NAME: xdm.quick, payload.NAME: payload.quick}

__all__ = ["FORMATS", "QUICK", "Format"]
