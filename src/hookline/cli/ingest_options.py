"""Options about the lines of events, for `relay` and `formats test`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from hookline.cli.options import ParsedParameter, bundle, choice_option
from hookline.relay.field_mapping import FIELDS, FieldMapping, parse_mapping
from hookline.relay.formats.line_reader import AUTO
from hookline.relay.formats.registry import FORMATS
from hookline.relay.routing import Defaults


def _time_zone(text: str) -> tzinfo:
    """A name of the IANA time zone database, or an offset from UTC."""
    try:
        if text[:1] in ("+", "-"):
            return datetime.strptime(text, "%z").tzinfo or UTC
        return ZoneInfo(text)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise ValueError(f"{text!r} is not a time zone (write Europe/Paris, UTC or +02:00)") from None


line_format_option = choice_option(
    "--format",
    forms=[AUTO, *FORMATS],
    help="The format of the lines. auto detects it for each line; dead-letter must be named.",
)
defaults_options = bundle(
    "defaults",
    Defaults,
    click.option("--organization", help="The organization of events that name none (imsOrg)."),
    click.option("--sandbox", help="The sandbox of events that name none."),
    click.option("--campaign", help="The campaign of events that name none (campaignID)."),
    bundle(
        "mapping",
        partial(FieldMapping, clock=time.time),
        click.option(
            "--map",
            "paths",
            type=ParsedParameter("field=path", parse_mapping),
            multiple=True,
            help=f"The path of a field that events carry under another name. Fields: {', '.join(FIELDS)}.",
        ),
        click.option(
            "--timezone",
            type=ParsedParameter("zone", _time_zone),
            default="UTC",
            help="The time zone of syslog times that have none (classic syslog).",
        ),
    ),
)
