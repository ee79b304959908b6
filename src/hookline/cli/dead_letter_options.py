"""Options that select dead letters, and their count in words."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import click

from hookline.cli.options import ADDRESS, TEXT, Decorated, bundle
from hookline.errors import WrongUse
from hookline.model import Channel, FeedbackStatus
from hookline.relay.spool.admin import Count, Filter


def _unix(_context: click.Context, _parameter: click.Parameter, moment: datetime | None) -> float | None:
    return None if moment is None else moment.replace(tzinfo=UTC).timestamp()


# The command receives them as `selection`, together with its argument `ids`, if it has one.
filter_options = bundle(
    "selection",
    Filter,
    click.option("--webhook", type=ADDRESS, help="Only dead letters of this webhook (ORGANIZATION/SANDBOX)."),
    click.option("--channel", type=click.Choice([*map(str, Channel)]), help="Only dead letters of this channel."),
    click.option(
        "--status",
        type=click.Choice([*map(str, FeedbackStatus)]),
        help="Only dead letters with this feedback status.",
    ),
    click.option("--reason", type=TEXT, help="Only dead letters whose reason contains this text."),
    click.option(
        "--http-status",
        "http",
        type=click.IntRange(100, 599),
        help="Only dead letters whose last response had this HTTP status.",
    ),
    click.option("--since", type=click.DateTime(), callback=_unix, help="Only dead letters from this time on (UTC)."),
    click.option(
        "--until", type=click.DateTime(), callback=_unix, help="Only dead letters from before this time (UTC)."
    ),
)
ids_argument = click.argument("ids", nargs=-1, metavar="[ID]…")


def _require_selection(selection: Filter, everything: bool) -> Filter:
    if selection.everything and not everything:
        raise WrongUse("no dead letters are selected", hint="give IDs or filters, or --all for all of them")
    return selection


def selection_options(verb: str) -> Callable[[Decorated], Decorated]:
    """Declare `filter_options`, `ids_argument` and `--all`, one of which must be given, and `--dry-run`."""
    return bundle(
        "selection",
        _require_selection,
        filter_options,
        ids_argument,
        click.option("--all", "everything", is_flag=True, help=f"{verb} every dead letter."),
        click.option("--dry-run", is_flag=True, help="Only count the dead letters."),
    )


def letter_count_text(count: Count) -> str:
    """``2 deliveries and 1 rejected line``."""
    deliveries = f"{count.deliveries:,} {'delivery' if count.deliveries == 1 else 'deliveries'}"
    return f"{deliveries} and {count.lines:,} rejected {'line' if count.lines == 1 else 'lines'}"
