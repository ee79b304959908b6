"""The options that say how lines are read: of `relay`, and of `formats test`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from hookline.cli.options import bundle
from hookline.relay.field_mapping import FIELDS, FieldMapping, FieldPath, parse_mapping
from hookline.relay.formats.line_reader import AUTO
from hookline.relay.formats.registry import FORMATS
from hookline.relay.routing import Defaults


class MappingParameter(click.ParamType[tuple[str, FieldPath]]):
    """FIELD=PATH, as mapping.Hints wants it."""

    name = "field=path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, FieldPath]:
        try:
            return parse_mapping(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class TimeZoneParameter(click.ParamType[tzinfo]):
    """A name of the IANA time zone database, or an offset from UTC."""

    name = "zone"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tzinfo:
        if isinstance(value, tzinfo):
            return value
        try:
            if str(value)[:1] in ("+", "-"):
                return datetime.strptime(str(value), "%z").tzinfo or UTC
            return ZoneInfo(str(value))
        except (ValueError, ZoneInfoNotFoundError, OSError):
            self.fail(f"{value!r} is no time zone (write Europe/Paris, UTC or +02:00)", param, ctx)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How lines are read: their format, and the values of fields that events do not carry."""

    format: str
    defaults: Defaults


def _ingest(
    *,
    format: str,
    organization: str | None,
    sandbox: str | None,
    campaign: str | None,
    mappings: tuple[tuple[str, FieldPath], ...],
    timezone: tzinfo,
) -> IngestOptions:
    defaults = Defaults(
        organization=organization,
        sandbox=sandbox,
        campaign=campaign,
        mapping=FieldMapping(paths=mappings, timezone=timezone, clock=time.time),
    )
    return IngestOptions(format, defaults)


reading_options = bundle(
    "ingest",
    _ingest,
    click.option(
        "--format",
        type=click.Choice([AUTO, *FORMATS]),
        default=AUTO,
        show_default=True,
        help="The format of the lines. auto detects it for each line.",
    ),
    click.option("--organization", help="The organization of events that name none (imsOrg)."),
    click.option("--sandbox", help="The sandbox of events that name none."),
    click.option("--campaign", help="The campaign of events that name none (campaignID)."),
    click.option(
        "--map",
        "mappings",
        type=MappingParameter(),
        multiple=True,
        help=f"The path of a field that events carry under another name. Fields: {', '.join(FIELDS)}.",
    ),
    click.option(
        "--timezone",
        type=TimeZoneParameter(),
        default="UTC",
        show_default=True,
        help="The time zone of syslog times that have none (classic syslog).",
    ),
)
