"""`hookline dead`: list, show, replay and discard dead letters. `dead_files` exports and imports them."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from hookline.cli.commands.dead_files import dead_export_command, dead_import_command
from hookline.cli.dead_letter_options import (
    filter_options,
    letter_count_text,
    selection_options,
    warn_of_unknown_webhook,
)
from hookline.cli.options import RATE, examples, format_option, spool_option
from hookline.cli.output.json_output import json_output, print_json
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.progress.progress import count_progress
from hookline.errors import Blocked, WrongUse
from hookline.escaping import printable
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine
from hookline.relay.formats.dead_letter_json import history_as_json
from hookline.relay.spool.admin import Count, DeadLetterQueries, Filter
from hookline.relay.spool.factory import spool_store
from hookline.units import utc_text


@click.command(
    "replay", epilog=examples("hookline dead replay --webhook ACME@AdobeOrg/prod --http-status 422 --rate 50/s")
)
@spool_option
@selection_options("Replay")
@click.option(
    "--rate", type=RATE, help="Replay at this rate for each webhook, such as 50/s or 1000/m. Default: all at once."
)
def dead_replay_command(*, spool: str, selection: Filter, dry_run: bool, rate: float | None) -> None:
    """Make dead letters pending again, under the same ids, with a new age.

    A running relay delivers them within a second; otherwise the next relay does. Rejected lines are read again with
    the options of that relay. If a line has several events, only its rejected events are replayed. If the command
    is interrupted, run it again to replay the rest.
    """
    if not dry_run:
        put_work_first()
    warn_of_unknown_webhook(selection, spool)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(selection)
        cut = dead.count_truncated(selection) if count.lines else 0
        count = Count(count.deliveries, count.lines - cut)
        if dry_run:
            click.echo(f"Would replay {letter_count_text(count)}.")
        else:
            with count_progress("replaying", count.total) as on_progress:
                replayed = dead.replay(selection, now=time.time(), rate=rate, on_progress=on_progress)
            click.echo(f"Replayed {letter_count_text(replayed)}.")
    if cut:
        click.echo(
            f"  {cut:,} lines are too long to be kept whole and remain dead letters: read their source again",
            err=True,
        )
    if not dry_run and replayed.total:
        each = f"{rate:g} per second for each webhook" if replayed.deliveries and rate is not None else None
        sent = f"a running relay delivers {each or 'them within a second'}"
        click.echo(f"  next: {sent}; if none runs: `hookline relay --drain`", err=True)


@click.command(
    "discard",
    epilog=examples(
        "hookline dead discard --until 30d --yes",
        "hookline dead discard --webhook ACME@AdobeOrg/prod --until 2026-01-01 --dry-run",
    ),
)
@spool_option
@selection_options("Discard")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def dead_discard_command(*, spool: str, selection: Filter, dry_run: bool, yes: bool) -> None:
    """Delete dead letters permanently. Asks on a terminal; without a terminal it requires --yes."""
    if not dry_run:
        put_work_first()
    warn_of_unknown_webhook(selection, spool)
    with spool_store(spool).dead_letters() as dead:
        count = dead.count(selection)
        if dry_run or not count.total:
            click.echo(f"Would discard {letter_count_text(count)}.")
            return
        question = f"Discard {letter_count_text(count)} permanently?"
        if not yes and not sys.stdin.isatty():
            raise Blocked(f"{question} No terminal to ask on", hint="give --yes")
        if not yes and not click.confirm(question, err=True):
            raise Blocked("nothing was discarded")
        with count_progress("discarding", count.total) as on_progress:
            discarded = dead.discard(selection, now=time.time(), on_progress=on_progress)
    click.echo(f"Discarded {letter_count_text(discarded)}.")


@click.group(epilog=examples("hookline dead list --http-status 422", "hookline dead replay --http-status 422"))
def dead_command() -> None:
    """List, show, replay, discard, export and import dead letters.

    Dead letters are deliveries that were refused or exhausted their retries, and lines that could not be read. The
    spool keeps them whole, with the reason. All commands also work while a relay runs. A relay deletes dead letters
    after --retain.
    """


@dead_command.command(
    "list",
    epilog=examples(
        "hookline dead list --webhook ACME@AdobeOrg/prod --since 2h",
        "hookline dead list --reason 'http 422' --format json",
    ),
)
@spool_option
@filter_options
@click.option("--limit", type=click.IntRange(min=1), default=100, help="Show at most this many, the newest ones.")
@format_option("text", "json", help="One line each, or a JSON array.")
def dead_list_command(*, spool: str, selection: Filter, limit: int, form: str) -> None:
    """List dead letters, the newest first."""
    warn_of_unknown_webhook(selection, spool)
    with spool_store(spool).dead_letter_queries() as dead:
        if form == "json":
            _print_json(dead, selection, limit)
            return
        listed = 0
        for letter in dead.newest(selection, limit=limit):
            click.echo(printable(_line(letter)))
            listed += 1
        count = dead.count(selection)
    more = f", the newest {listed:,} shown" if listed < count.total else ""
    click.echo(f"{letter_count_text(count)}{more}.", err=True)


def _print_json(dead: DeadLetterQueries, selection: Filter, limit: int) -> None:
    """Write an array on one line, item by item."""
    separator = "["
    for letter in dead.newest(selection, limit=limit):
        click.echo(separator + json_output(_as_json(letter)), nl=False)
        separator = ", "
    click.echo("[]" if separator == "[" else "]")


@dead_command.command("show", epilog=examples("hookline dead show line-12"))
@spool_option
@click.argument("identity", metavar="ID")
def dead_show_command(*, spool: str, identity: str) -> None:
    """Show one dead letter as JSON, with its recorded attempts. The beginning of its ID is enough.

    Attempt number 0 marks a replay by an operator.
    """
    with spool_store(spool).dead_letter_queries() as dead:
        letters = list(dead.newest(Filter(ids=(identity,)), limit=1))
    if not letters:  # also when the dead letter was replayed a moment ago
        raise WrongUse(f"no dead letter has the id {identity!r}", hint="`hookline dead list` shows all ids")
    print_json(_full_document(letters[0]))


def _line(letter: DeadLetter) -> str:
    match letter:
        case DeadDelivery():
            subject = f"{letter.webhook}  {letter.channel} {letter.status}"
        case DeadLine():
            subject = "-  line"
    return f"{_id(letter)}  {utc_text(letter.at)}  {subject}  {letter.source}:{letter.line}  {letter.reason}"


def _id(letter: DeadLetter) -> str:
    return letter.id.hex() if isinstance(letter, DeadDelivery) else f"line-{letter.n}"


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    delivery = letter if isinstance(letter, DeadDelivery) else None
    return {
        "id": _id(letter),
        "time": utc_text(letter.at),
        "reason": letter.reason,
        "httpStatus": delivery and delivery.http,
        "attempts": delivery and delivery.attempts,
        "webhook": delivery and str(delivery.webhook),
        "channel": delivery and delivery.channel,
        "status": delivery and delivery.status,
        "requestId": delivery and delivery.request_id,
        "source": letter.source,
        "line": letter.line,
        "bytes": len(letter.body) if isinstance(letter, DeadDelivery) else letter.length,
    }


def _full_document(letter: DeadLetter) -> dict[str, Any]:
    match letter:
        case DeadDelivery():
            return {
                **_as_json(letter),
                "eventTime": letter.event_time,
                "detail": letter.detail,
                "history": history_as_json(letter.history),
                "payload": json.loads(letter.body),
            }
        case DeadLine():
            # Bytes that are not UTF-8 are escaped, because a terminal could interpret them.
            return {**_as_json(letter), "text": letter.data.decode("utf-8", "backslashreplace")}


for _command in (dead_replay_command, dead_discard_command, dead_export_command, dead_import_command):
    dead_command.add_command(_command)
