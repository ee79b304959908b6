"""Options that select dead letters, and their count in words."""

from __future__ import annotations

from collections.abc import Callable

import click

from hookline.cli.applied_state import nearest_hint
from hookline.cli.completions import complete_addresses
from hookline.cli.options import ADDRESS, TEXT, TIME, Decorated, bundle
from hookline.errors import WrongUse
from hookline.model import Channel, FeedbackStatus
from hookline.relay.spool.admin import Count, Filter
from hookline.relay.spool.factory import spool_store

# The command receives them as `selection`, together with its argument `ids`, if it has one.
filter_options = bundle(
    "selection",
    Filter,
    click.option(
        "--webhook",
        type=ADDRESS,
        shell_complete=complete_addresses,
        help="Only dead letters of this webhook (ORGANIZATION/SANDBOX).",
    ),
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
    click.option("--since", type=TIME, help="Only dead letters from this time on, or of this age at most: 2h, 3d."),
    click.option("--until", type=TIME, help="Only dead letters from before this time, or older than this age."),
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


def warn_of_unknown_webhook(selection: Filter, spool: str) -> None:
    """Name a webhook of which the spool knows nothing, because its address may be mistyped."""
    if selection.webhook is None:
        return
    known = spool_store(spool).statistics().endpoint_states()
    if selection.webhook not in known:
        click.echo(f"warning: the spool has no webhook {selection.webhook}", err=True)
        click.echo(f"  hint: {nearest_hint(str(selection.webhook), known)}", err=True)


def letter_count_text(count: Count) -> str:
    """``2 deliveries and 1 rejected line``."""
    deliveries = f"{count.deliveries:,} {'delivery' if count.deliveries == 1 else 'deliveries'}"
    return f"{deliveries} and {count.lines:,} rejected {'line' if count.lines == 1 else 'lines'}"
