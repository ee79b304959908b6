"""The options of `relay` in groups. `formats test` shares those for reading lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from hookline.cli.options import LISTEN, ParsedParameter, bundle
from hookline.observe.log import Level, Log
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


line_format_option = click.option(
    "--format",
    type=click.Choice([AUTO, *FORMATS]),
    default=AUTO,
    help="The format of the lines. auto detects it for each line.",
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


@dataclass(frozen=True, slots=True)
class ModeOptions:
    """How the relay reads its input, and whether it sends anything."""

    follow: bool
    from_start: bool
    drain: bool
    dry_run: bool


mode_options = bundle(
    "mode",
    ModeOptions,
    click.option("--follow", is_flag=True, help="Keep reading as files grow, rotate and appear, until stopped."),
    click.option("--from-start", is_flag=True, help="Read files from their first line and ignore their checkpoints."),
    click.option("--drain", is_flag=True, help="Read no input; deliver the backlog of the spool."),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Show the routing result of each event; send nothing and store nothing.",
    ),
)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The monitoring server, the form of the summary, and the log."""

    listen: tuple[str, int] | None
    metrics_webhooks: int
    summary: Literal["text", "json"]
    log_format: Literal["text", "json"]
    log_level: Level

    def log(self, write: Callable[[str], object]) -> Log:
        return Log(write, level=self.log_level, format=self.log_format, clock=time.time)


output_options = bundle(
    "output",
    OutputOptions,
    click.option(
        "--listen",
        type=LISTEN,
        help="Serve /metrics, /healthz, /readyz and /status on this address, such as 127.0.0.1:9469. Port 0: any "
        "free port.",
    ),
    click.option(
        "--metrics-webhooks",
        type=click.IntRange(min=0),
        default=1000,
        help="The number of webhooks with their own metrics; the others are summed.",
    ),
    click.option(
        "--summary",
        type=click.Choice(["text", "json"]),
        default="text",
        help="A table on stderr, or JSON on stdout.",
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="The format of log lines, on stderr.",
    ),
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning"]),
        default="info",
        help="debug: every attempt. info: failures, and changes of an endpoint. warning: conditions that need "
        "attention.",
    ),
)
