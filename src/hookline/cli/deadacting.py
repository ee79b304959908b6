"""`hookline dead replay` and `hookline dead discard`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from hookline.cli.counting import counting
from hookline.cli.deadchoice import aimed, chosen_by, filters, in_words
from hookline.cli.options import RATE, spool_option
from hookline.errors import Blocked
from hookline.relay.spool.admin import Count
from hookline.relay.spool.factory import spool_store


@click.command("replay", epilog="Example: hookline dead replay --http-status 422 --rate 50/s")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Replay every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count the dead letters.")
@click.option(
    "--rate", type=RATE, help="Replay at this rate for each webhook, such as 50/s or 1000/m. Default: all at once."
)
def replay_command(
    *, spool: str, ids: tuple[str, ...], everything: bool, dry_run: bool, rate: float | None, **chosen: Any
) -> None:
    """Make dead letters pending again, under the same ids, with a new age.

    A running relay delivers them within a second; otherwise the next relay does. Rejected lines are read again with
    the options of that relay. If a line has several events, only its rejected events are replayed. If the command
    is interrupted, run it again to replay the rest.
    """
    narrowed = aimed(chosen_by(ids, chosen), everything)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(narrowed)
        cut = dead.cut_lines(narrowed) if count.lines else 0
        count = Count(count.deliveries, count.lines - cut)
        if dry_run:
            click.echo(f"Would replay {in_words(count)}.")
        else:
            with counting("replaying", count.total) as told:
                replayed = dead.replay(narrowed, now=time.time(), rate=rate, on_progress=told)
            click.echo(f"Replayed {in_words(replayed)}.")
    if cut:
        click.echo(f"  {cut:,} too long to be kept whole: these lines stay; read their source again", err=True)
    if not dry_run and replayed.total:
        click.echo(f"  next: {_next(replayed, rate)}", err=True)


def _next(replayed: Count, rate: float | None) -> str:
    if replayed.deliveries and rate is not None:
        sent = f"a running relay sends {rate:g} a second for each webhook"
    else:
        sent = "a running relay has them within a second"
    return f"{sent}; otherwise `hookline relay --drain`"


@click.command("discard", epilog="Example: hookline dead discard --until 2026-01-01 --yes")
@spool_option
@filters
@click.argument("ids", nargs=-1, metavar="[ID]…")
@click.option("--all", "everything", is_flag=True, help="Discard every dead letter.")
@click.option("--dry-run", is_flag=True, help="Only count the dead letters.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def discard_command(
    *, spool: str, ids: tuple[str, ...], everything: bool, dry_run: bool, yes: bool, **chosen: Any
) -> None:
    """Delete dead letters permanently. Asks on a terminal; without a terminal it requires --yes."""
    narrowed = aimed(chosen_by(ids, chosen), everything)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(narrowed)
        if dry_run or not count.total:
            click.echo(f"Would discard {in_words(count)}.")
            return
        if not yes:
            _ask(f"Discard {in_words(count)} for good?")
        with counting("discarding", count.total) as told:
            discarded = dead.discard(narrowed, now=time.time(), on_progress=told)
    click.echo(f"Discarded {in_words(discarded)}.")


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise Blocked(f"{question} There is no terminal to ask on", hint="say --yes")
    if not click.confirm(question, err=True):
        raise Blocked("nothing was discarded")
