"""Options that select dead letters, and their count in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from hookline.cli.options import ADDRESS, TEXT, Decorated
from hookline.errors import WrongUse
from hookline.model import Channel, FeedbackStatus
from hookline.relay.spool.admin import Count, Filter

_FILTERS = (
    click.option("--webhook", type=ADDRESS, help="Only dead letters of this webhook (ORGANIZATION/SANDBOX)."),
    click.option(
        "--channel",
        type=click.Choice([str(channel) for channel in Channel]),
        help="Only dead letters of this channel.",
    ),
    click.option(
        "--status",
        type=click.Choice([str(status) for status in FeedbackStatus]),
        help="Only dead letters with this feedback status.",
    ),
    click.option("--reason", type=TEXT, help="Only dead letters whose reason contains this text."),
    click.option(
        "--http-status",
        type=click.IntRange(100, 599),
        help="Only dead letters whose last response had this HTTP status.",
    ),
    click.option("--since", type=click.DateTime(), help="Only dead letters from this time on (UTC)."),
    click.option("--until", type=click.DateTime(), help="Only dead letters from before this time (UTC)."),
)


def filter_options(function: Decorated) -> Decorated:
    """Declare the options that select dead letters."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


def filter_from(ids: tuple[str, ...], options: Mapping[str, Any]) -> Filter:
    """The filter from the values of `filter_options`."""
    return Filter(
        ids=ids,
        webhook=options["webhook"],
        channel=options["channel"],
        status=options["status"],
        reason=options["reason"],
        http=options["http_status"],
        since=_unix(options["since"]),
        until=_unix(options["until"]),
    )


def require_selection(selection: Filter, everything: bool) -> Filter:
    """Return the filter. Raises WrongUse if it selects all dead letters without `--all`."""
    if selection.everything and not everything:
        raise WrongUse("no dead letters are selected", hint="give IDs or filters, or --all for all of them")
    return selection


def letter_count_text(count: Count) -> str:
    """``2 deliveries and 1 rejected line``."""
    deliveries = f"{count.deliveries:,} {'delivery' if count.deliveries == 1 else 'deliveries'}"
    return f"{deliveries} and {count.lines:,} rejected {'line' if count.lines == 1 else 'lines'}"


def _unix(moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()
